"""What a paywall sells besides any amount: packs and plans, made here or synced from Stripe.

A price of the developer's own at Stripe becomes a pack, or a plan if it recurs, when its metadata
has `includedCredits`. What is not clear is reported, not guessed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from billing.stripe import amounts, client, drips
from billing.stripe.catalog import Pack, Plan
from billing.stripe.errors import translated
from billing.stripe.models import StripeAccount
from config.kit import ids
from config.kit.db import forbid_transaction
from config.kit.errors import InvalidRequestError
from config.kit.money import AMOUNT_NANOS_MAX, format_nanos, parse_nanos
from config.kit.text import read_name
from paywalls import audit, rules
from paywalls.models import Paywall

CREDITS: Final = "includedCredits"
ROLLOVER: Final = "rollover"
ENTITLEMENTS: Final = "entitlements"
DRIP: Final = "drip"
MONTHLY: Final = "monthly"
PAGE: Final = 100
PRICES_MAX: Final = 1_000
INTERVALS_MAX: Final = 36
"""Of any length; Stripe itself takes at most three years."""

FEATURES_MAX: Final = 50

type Product = Pack | Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a plan is. credit: for each cycle; if it drips, for each month of a yearly one."""

    price_nanos: int
    credit_nanos: int
    interval: str
    interval_count: int = 1
    resets: bool = True
    drips: bool = False
    entitlements: Sequence[str] = ()


@dataclass(slots=True)
class Synced:
    """What came of the prices: how many are sold, were closed, and what was left out and why."""

    sold: int = 0
    closed: int = 0
    skipped: list[str] = field(default_factory=list)


def add_pack(
    paywall: Paywall,
    name: str,
    *,
    price_nanos: int,
    credit_nanos: int,
    bonus_nanos: int = 0,
    actor: str,
) -> Pack:
    """A pack, in the caller's transaction.

    Raises: InvalidRequestError.
    """
    audit.lock(paywall)
    made = Pack.objects.create(
        paywall=paywall,
        name=read_name(name, param="name"),
        price_minor=amounts.to_minor(price_nanos, paywall.currency),
        currency=paywall.currency,
        credit_nanos=_credit(credit_nanos),
        bonus_nanos=bonus_nanos,
    )
    _record(made, actor, "pack.added")
    return made


def add_plan(paywall: Paywall, name: str, terms: Terms, *, actor: str) -> Plan:
    """A plan, in the caller's transaction.

    Raises: InvalidRequestError.
    """
    audit.lock(paywall)
    if terms.interval not in Plan.Interval.values:
        raise InvalidRequestError("A cycle is a day, week, month or year.", param="every")
    if not 1 <= terms.interval_count <= INTERVALS_MAX:
        raise InvalidRequestError(f"At most {INTERVALS_MAX} in one cycle.", param="count")
    if terms.drips and terms.interval != Plan.Interval.YEAR:
        raise InvalidRequestError("Only a yearly plan gives its credit by months.", param="drip")
    months = drips.MONTHS * terms.interval_count if terms.drips else 1
    made = Plan.objects.create(
        paywall=paywall,
        name=read_name(name, param="name"),
        price_minor=amounts.to_minor(terms.price_nanos, paywall.currency),
        currency=paywall.currency,
        credit_nanos=_credit(terms.credit_nanos, months),
        interval=terms.interval,
        interval_count=terms.interval_count,
        resets=terms.resets,
        drips=terms.drips,
        entitlements=_features(terms.entitlements),
    )
    _record(made, actor, "plan.added")
    return made


def stop_selling(paywall: Paywall, public_id: str, *, actor: str) -> Product:
    """Takes a pack or a plan off the page, in the caller's transaction; subscriptions go on.

    Raises: InvalidRequestError.
    """
    return _switch(paywall, public_id, actor, is_active=False)


def sell_again(paywall: Paywall, public_id: str, *, actor: str) -> Product:
    """Puts what was taken off the page back, in the caller's transaction.

    Raises: InvalidRequestError.
    """
    return _switch(paywall, public_id, actor, is_active=True)


def _switch(paywall: Paywall, public_id: str, actor: str, *, is_active: bool) -> Product:
    audit.lock(paywall)
    for name, model in (("pack", Pack), ("plan", Plan)):
        row_id = ids.decode(name, public_id)
        found = row_id and model.objects.filter(paywall=paywall, pk=row_id).first()
        if found:
            model.objects.filter(pk=found.pk).update(is_active=is_active)
            _record(found, actor, f"{name}.{'reopened' if is_active else 'closed'}")
            return found
    raise InvalidRequestError("There is no such pack or plan.", param="id")


def fetch(paywall: Paywall) -> list[dict[str, Any]]:
    """The developer's prices with their products, also those that are not active.

    Raises: InvalidRequestError without a saved key; StripeFailedError.
    """
    forbid_transaction()
    account = StripeAccount.objects.filter(paywall=paywall, is_active=True).first()
    if account is None:
        raise InvalidRequestError("Connect Stripe first: ./run manage connect_stripe.")
    prices: list[dict[str, Any]] = []
    with translated():
        listed = client.client_of(account).v1.prices.list(
            {"limit": PAGE, "expand": ["data.product"]}
        )
        for price in listed.auto_paging_iter():
            prices.append(price.to_dict())
            if len(prices) > PRICES_MAX:
                raise InvalidRequestError(f"There are more than {PRICES_MAX} prices at Stripe.")
    return prices


def sync(paywall: Paywall, prices: Iterable[Mapping[str, Any]], *, actor: str) -> Synced:
    """Makes packs and plans what Stripe's prices say, in the caller's transaction.

    A price that is not active there any more, or says nothing of credits, closes its pack or plan.
    """
    audit.lock(paywall)
    listed = rules.price_list(paywall.pk)
    per_unit = (listed.credits_per_unit if listed else 0) or 1
    done, sold = Synced(), set()
    for price in prices:
        said = (price.get("metadata") or {}).get(CREDITS)
        if said is None or not _is_active(price):
            continue
        made = read_price(price, paywall.currency, said, per_unit)
        if isinstance(made, str):
            done.skipped.append(f"{price['id']}: {made}")
            continue
        model: type[Pack] | type[Plan] = Plan if price.get("recurring") else Pack
        row, is_new = model.objects.update_or_create(
            paywall=paywall, stripe_price_id=price["id"], defaults={**made, "is_active": True}
        )
        sold.add(price["id"])
        if is_new:
            _record(row, actor, f"{_kind(row)}.added")
    for model in (Pack, Plan):
        gone = model.objects.filter(paywall=paywall, is_active=True).exclude(stripe_price_id="")
        for row in gone.exclude(stripe_price_id__in=sold):
            stop_selling(paywall, public_id(row), actor=actor)
            done.closed += 1
    done.sold = len(sold)
    return done


def read_price(
    price: Mapping[str, Any], currency: str, said: str, per_unit: int
) -> dict[str, Any] | str:
    """The columns of its pack or plan, or why it is none. per_unit: credits for one unit; 1 where
    the paywall shows money.
    """
    recurring, metadata = price.get("recurring") or {}, price["metadata"]
    included = parse_nanos(said.strip()) or 0
    dripped = metadata.get(DRIP)
    months = drips.MONTHS * recurring.get("interval_count", 1) if dripped else 1
    wrong = {
        f"it is in {price['currency'].upper()}, the paywall in {currency}": (
            price["currency"].upper() != currency
        ),
        "it is not one amount": (
            price.get("billing_scheme") != "per_unit" or not price.get("unit_amount")
        ),
        "it is metered": recurring.get("usage_type", "licensed") != "licensed",
        f"{CREDITS} is {said!r}, not a number of credits": (
            not included or included % per_unit or included // per_unit > AMOUNT_NANOS_MAX // months
        ),
        f"{DRIP} is {dripped!r}, not {MONTHLY}": dripped not in (None, "", MONTHLY),
        f"{DRIP} is for yearly prices": dripped and recurring.get("interval") != "year",
        f"{ROLLOVER} is neither true nor false": (
            metadata.get(ROLLOVER, "false") not in ("true", "false")
        ),
    }
    if found := [reason for reason, is_so in wrong.items() if is_so]:
        return found[0]
    product = price["product"]
    named = product["name"] if isinstance(product, Mapping) else ""
    made: dict[str, Any] = {
        "name": (price.get("nickname") or named or price["id"])[:100],
        "price_minor": price["unit_amount"],
        "currency": currency,
        "credit_nanos": included // per_unit,
    }
    if not recurring:
        return made
    features = [each.strip() for each in metadata.get(ENTITLEMENTS, "").split(",")]
    return made | {
        "interval": recurring["interval"],
        "interval_count": recurring["interval_count"],
        "resets": metadata.get(ROLLOVER) != "true",
        "drips": bool(dripped),
        "entitlements": [each for each in features if each],
    }


def public_id(row: Product) -> str:
    """The id that people see: pack_… or plan_…, by what it is."""
    return ids.encode(_kind(row), row.pk)


def _kind(row: Product) -> str:
    return "pack" if isinstance(row, Pack) else "plan"


def _is_active(price: Mapping[str, Any]) -> bool:
    product = price["product"]
    return bool(price["active"] and (not isinstance(product, Mapping) or product.get("active")))


def _credit(nanos: int, times: int = 1) -> int:
    if not 0 < nanos <= AMOUNT_NANOS_MAX // times:
        most = format_nanos(AMOUNT_NANOS_MAX // times)
        raise InvalidRequestError(f"The credit is above 0, and at most {most}.", param="credit")
    return nanos


def _features(names: Sequence[str]) -> list[str]:
    if len(names) > FEATURES_MAX:
        raise InvalidRequestError(f"At most {FEATURES_MAX} features.", param="entitlement")
    return [read_name(each, param="entitlement") for each in names]


def _record(row: Product, actor: str, action: str) -> None:
    facts = {"name": row.name, "price": row.price_minor, "credit": format_nanos(row.credit_nanos)}
    audit.record(
        paywall=row.paywall, actor=actor, action=action, subject=public_id(row), after=facts
    )
