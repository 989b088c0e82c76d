"""The price of a model on a paywall: which rule applies, and what it comes to. New versions.

Precedence: a rule for exactly this model, then the longest prefix, then the feature, then the
default. A model may be known by several names; a rule may use any of them.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, Final
from uuid import UUID

from config.kit import ids, limits
from config.kit.errors import InvalidRequestError
from config.kit.money import AMOUNT_NANOS_MAX, NANOS, ceil_div
from paywalls import audit, price_input
from paywalls.models import Paywall, PriceVersion, Rate
from paywalls.pricing import BASIS_POINTS, Rates, covers
from paywalls.types import Match, PriceList, PriceRule

CATALOGUE_CURRENCY: Final = "USD"
TERMS: Final = (
    "rules",
    "usd_rate_nanos",
    "trial_nanos",
    "trial_requests",
    "trial_days",
    "credits_name",
    "credits_per_unit",
)
"""What one price version hands on to the next."""

CREDITS_PER_UNIT_MAX: Final = 1_000_000_000
TRIAL_DAYS_MAX: Final = 3_650
TRIAL_REQUESTS_MAX: Final = 1_000_000


def resolve_covering(
    prices: PriceList, *, models: Sequence[str], feature: str, cost: Rates | None, currency: str
) -> Rates | None:
    """As `resolve`, but a price that may not cover the provider's cost is none. Pure.

    For what the operator pays: costs change after a price was saved.
    """
    found = resolve(prices, models=models, feature=feature, cost=cost, currency=currency)
    usd_rate = NANOS if currency == CATALOGUE_CURRENCY else prices.usd_rate_nanos
    if found is None or cost is None or usd_rate is None:
        return None
    return found if covers(found, _converted(cost, usd_rate)) else None


def resolve(
    prices: PriceList, *, models: Sequence[str], feature: str, cost: Rates | None, currency: str
) -> Rates | None:
    """The selling price of a model, or None when it has none: then nobody may call it. Pure.

    models: every name of it, the caller's first. cost: the provider's, in nanos of a US dollar.
    """
    rule = rule_for(prices.rules, models=models, feature=feature)
    if rule is None:
        return None
    if rule.basis == "free":
        return Rates()
    if rule.basis == "own":
        return rule.rates
    usd_rate = NANOS if currency == CATALOGUE_CURRENCY else prices.usd_rate_nanos
    if cost is None or usd_rate is None:
        return None
    return _cost_plus(_converted(cost, usd_rate), rule.rates)


def rule_for(
    rules: Iterable[PriceRule], *, models: Sequence[str], feature: str
) -> PriceRule | None:
    """The rule that applies. Pure."""
    best: PriceRule | None = None
    best_rank = (0, 0)
    for rule in rules:
        rank = _rank(rule, models, feature)
        if rank > best_rank:
            best, best_rank = rule, rank
    return best


def _rank(rule: PriceRule, models: Sequence[str], feature: str) -> tuple[int, int]:
    """How well a rule fits; (0, 0) does not at all."""
    match rule.match:
        case "model":
            return (4, 0) if rule.value in models else (0, 0)
        case "prefix":
            fits = any(model.startswith(rule.value) for model in models)
            return (3, len(rule.value)) if fits else (0, 0)
        case "feature":
            return (2, 0) if feature and rule.value == feature else (0, 0)
        case "default":
            return (1, 0)


def is_feature_priced(rules: Iterable[PriceRule], feature: str) -> bool:
    """Whether any rule names the feature; if not, it cannot change a price. Pure."""
    return any(rule.match == "feature" and rule.value == feature for rule in rules)


def allows(allowed_models: Sequence[str], models: Sequence[str]) -> bool:
    """Whether a list of ids and prefixes ending in `*` allows a model. Empty allows all. Pure."""
    return not allowed_models or any(
        model.startswith(allowed[:-1]) if allowed.endswith("*") else model == allowed
        for allowed in allowed_models
        for model in models
    )


def _converted(cost: Rates, usd_rate_nanos: int) -> Rates:
    """A cost in another currency, each rate rounded up to a whole nano."""
    if usd_rate_nanos == NANOS:
        return cost
    rates = {f.name: getattr(cost, f.name) for f in fields(cost) if f.name != "markup_bps"}
    in_currency: dict[str, Any] = {
        name: None if rate is None else ceil_div(rate * usd_rate_nanos, NANOS)
        for name, rate in rates.items()
    }
    return replace(cost, **in_currency)


def _cost_plus(cost: Rates, terms: Rates) -> Rates:
    """The provider's rates with our markup, fee and minimum.

    What a provider takes for each request is usage: it is marked up, and added to our flat fee.
    """
    passed_on = ceil_div(cost.request * (BASIS_POINTS + terms.markup_bps), BASIS_POINTS)
    return replace(
        cost,
        request=terms.request + passed_on,
        minimum=terms.minimum,
        markup_bps=terms.markup_bps,
    )


def price_list(paywall_id: UUID) -> PriceList | None:
    """The price version in force; None until prices are set."""
    version = PriceVersion.objects.filter(paywall_id=paywall_id).order_by("-number").first()
    if version is None:
        return None
    return PriceList(
        version_id=version.pk,
        number=version.number,
        rules=tuple(price_input.from_stored(rule) for rule in version.rules),
        usd_rate_nanos=version.usd_rate_nanos,
        trial_nanos=version.trial_nanos,
        trial_requests=version.trial_requests,
        trial_days=version.trial_days,
        credits_name=version.credits_name,
        credits_per_unit=version.credits_per_unit,
    )


def rate_id(version_id: UUID, model: str, feature: str, selling: Rates, cost: Rates | None) -> UUID:
    """The row that keeps these figures for ever; made when they are seen for the first time.

    A feature that no rule of the version names is left out: callers may invent any number.
    """
    if feature and not _names_feature(version_id, feature):
        feature = ""
    sold, bought = selling.as_dict(), cost.as_dict() if cost else None
    digest = hashlib.sha256(
        json.dumps([model, feature, sold, bought], sort_keys=True).encode()
    ).digest()
    found = Rate.objects.filter(version_id=version_id, digest=digest).values_list("id", flat=True)
    if known := found.first():
        return known
    rate = Rate(
        version_id=version_id,
        model=model,
        feature=feature,
        digest=digest,
        selling=sold,
        cost=bought,
    )
    Rate.objects.bulk_create([rate], ignore_conflicts=True)
    return found.get()


def _names_feature(version_id: UUID, feature: str) -> bool:
    stored = PriceVersion.objects.values_list("rules", flat=True).get(pk=version_id)
    return is_feature_priced(map(price_input.from_stored, stored), feature)


def set_price(
    paywall: Paywall,
    rule: PriceRule,
    *,
    costs: Mapping[str, Rates],
    is_forced: bool = False,
    actor: str,
) -> PriceVersion:
    """A new price version with this rule, in the caller's transaction.

    It replaces the rule for the same model, prefix or feature. costs: what providers take for the
    models known so far, by id, in nanos of a US dollar. is_forced: accept what looks like a typo.
    Raises: InvalidRequestError for a likely typo; in Shared mode for a price below cost.
    """
    audit.lock(paywall)
    previous = price_list(paywall.pk)
    review = review_price(paywall, rule, costs)
    if review.typo and not is_forced:
        raise InvalidRequestError(review.typo, param="force")
    if review.below_cost and paywall.mode == Paywall.Mode.SHARED:
        raise InvalidRequestError(review.below_cost, param="markup")
    if rule.basis == "free" and paywall.mode == Paywall.Mode.SHARED:
        raise InvalidRequestError("In Shared mode prices cover the provider's cost.", param="free")
    old = _find(previous, rule.match, rule.value)
    others = tuple(known for known in previous.rules if known != old) if previous else ()
    if len(others) >= limits.PRICE_RULES_MAX:
        raise InvalidRequestError(
            f"A price list has at most {limits.PRICE_RULES_MAX} rules: use prefixes.",
            param="value",
        )
    return _next_version(
        paywall,
        {"rules": [price_input.to_stored(known) for known in (*others, rule)]},
        actor=actor,
        action="price.set",
        before=price_input.to_stored(old) if old else None,
        after=price_input.to_stored(rule),
    )


def review_price(
    paywall: Paywall, rule: PriceRule, costs: Mapping[str, Rates]
) -> price_input.Review:
    """What looks wrong about a rule. costs: as for `set_price`."""
    previous = price_list(paywall.pk)
    usd_rate = previous.usd_rate_nanos if previous else None
    return price_input.review(rule, _in_currency(costs, paywall.currency, usd_rate))


def remove_price(paywall: Paywall, match: Match, value: str, *, actor: str) -> PriceVersion:
    """A new price version without this rule, in the caller's transaction.

    Raises: InvalidRequestError when there is no such rule.
    """
    audit.lock(paywall)
    previous = price_list(paywall.pk)
    old = _find(previous, match, value)
    if previous is None or old is None:
        raise InvalidRequestError(f"There is no rule for {match} {value}.".replace(" .", "."))
    return _next_version(
        paywall,
        {"rules": [price_input.to_stored(rule) for rule in previous.rules if rule != old]},
        actor=actor,
        action="price.removed",
        before=price_input.to_stored(old),
        after=None,
    )


def set_trial(
    paywall: Paywall, *, amount_nanos: int = 0, requests: int = 0, days: int = 0, actor: str
) -> PriceVersion:
    """A new price version with this trial for users not seen before; all 0 ends it.

    An amount or a number of requests. days: how long it lasts, 0 for ever. In the caller's
    transaction. Raises: InvalidRequestError; always in Shared mode, where people pay from the first
    request on.
    """
    if paywall.mode == Paywall.Mode.SHARED and (amount_nanos or requests):
        raise InvalidRequestError("In Shared mode there are no trials.", param="amount")
    if amount_nanos and requests:
        raise InvalidRequestError(
            "A trial is an amount or a number of requests, not both.", param="amount"
        )
    _check_range("amount", amount_nanos, AMOUNT_NANOS_MAX)
    _check_range("requests", requests, TRIAL_REQUESTS_MAX)
    _check_range("days", days, TRIAL_DAYS_MAX)
    changes = {"trial_nanos": amount_nanos, "trial_requests": requests, "trial_days": days}
    return _set_terms(paywall, changes, actor=actor, action="trial.set")


def set_credits(paywall: Paywall, *, name: str, per_unit: int, actor: str) -> PriceVersion:
    """A new price version that shows credits at this rate; 0 shows money again.

    In the caller's transaction. Raises: InvalidRequestError.
    """
    _check_range("rate", per_unit, CREDITS_PER_UNIT_MAX)
    if bool(name.strip()) != bool(per_unit) or len(name) > limits.CREDITS_NAME_CHARS_MAX:
        raise InvalidRequestError(
            f"Credits need a name of at most {limits.CREDITS_NAME_CHARS_MAX} characters and a "
            "rate; leave out both to show money.",
            param="name",
        )
    changes = {"credits_name": name.strip(), "credits_per_unit": per_unit}
    return _set_terms(paywall, changes, actor=actor, action="credits.set")


def set_usd_rate(paywall: Paywall, usd_rate_nanos: int, *, actor: str) -> PriceVersion:
    """A new price version with this price of a US dollar, in nanos of the paywall's currency.

    In the caller's transaction. Raises: InvalidRequestError.
    """
    if paywall.currency == CATALOGUE_CURRENCY:
        raise InvalidRequestError("This paywall counts in US dollars.", param="usd_rate")
    if not 0 < usd_rate_nanos <= AMOUNT_NANOS_MAX:
        raise InvalidRequestError("The rate must be above 0.", param="usd_rate")
    return _set_terms(
        paywall, {"usd_rate_nanos": usd_rate_nanos}, actor=actor, action="usd_rate.set"
    )


def _set_terms(
    paywall: Paywall, changes: Mapping[str, Any], *, actor: str, action: str
) -> PriceVersion:
    audit.lock(paywall)
    previous = price_list(paywall.pk)
    before = {name: getattr(previous, name) for name in changes} if previous else None
    return _next_version(
        paywall, changes, actor=actor, action=action, before=before, after=dict(changes)
    )


def _next_version(
    paywall: Paywall,
    changes: Mapping[str, Any],
    *,
    actor: str,
    action: str,
    before: audit.Facts,
    after: audit.Facts,
) -> PriceVersion:
    """A copy of the version in force with the changes; the paywall is locked."""
    last = PriceVersion.objects.filter(paywall=paywall).order_by("-number").first()
    kept = {name: getattr(last, name) for name in TERMS} if last else {}
    version = PriceVersion.objects.create(
        paywall=paywall, number=last.number + 1 if last else 1, actor=actor, **{**kept, **changes}
    )
    audit.record(
        paywall=paywall,
        actor=actor,
        action=action,
        subject=ids.encode("prc", version.pk),
        before=before,
        after=after,
    )
    return version


def _in_currency(
    costs: Mapping[str, Rates], currency: str, usd_rate_nanos: int | None
) -> dict[str, Rates]:
    """Costs that can be compared with the paywall's prices; none without a rate."""
    rate = NANOS if currency == CATALOGUE_CURRENCY else usd_rate_nanos
    return {model: _converted(cost, rate) for model, cost in costs.items()} if rate else {}


def _find(prices: PriceList | None, match: Match, value: str) -> PriceRule | None:
    rules = prices.rules if prices else ()
    return next((rule for rule in rules if (rule.match, rule.value) == (match, value)), None)


def _check_range(param: str, value: int, most: int) -> None:
    if not 0 <= value <= most:
        raise InvalidRequestError(f"It must be between 0 and {most}.", param=param)
