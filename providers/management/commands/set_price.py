"""`set_price`: what models cost end users. It knows the providers' costs, so it sees mistakes."""

from typing import Any, Final

from django.core.management.base import CommandParser

from config.kit.commands import ActionCommand, Answer, read_amount
from config.kit.money import format_nanos
from paywalls import lookup, price_input, rules
from paywalls.models import Paywall, PriceVersion
from paywalls.types import Match, PriceRule
from providers import catalog

FLAT: Final = (("request", "for each request"), ("minimum", "at least"))


class Command(ActionCommand):
    """Sets or removes one rule of a paywall's price list."""

    help = (
        "Set the price of a model, of all whose name begins with a prefix, of a feature, or of all "
        "the rest (the default). Either a markup on the provider's cost, or prices of your own, or "
        "free. A rule for the model wins over one for a prefix (the longest), that over one for "
        "the feature, that over the default. A model without a price cannot be called. Prices are "
        "in the paywall's currency: for a million tokens, or for one image, second, and so on."
    )
    positionals = ("paywall",)

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("paywall", help="pw_… id or name")
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--model", default="", help="such as openai/gpt-4o-mini")
        which.add_argument("--prefix", default="", help="such as openai/")
        which.add_argument("--feature", default="", help="what callers send in X-Paywall-Feature")
        parser.add_argument(
            "--markup", default="", help="percent on top, -99 to 1000: 20 sells 1.00 for 1.20"
        )
        parser.add_argument("--free", action="store_true", help="cost nothing, on purpose")
        parser.add_argument("--request", default="", help="flat fee of each request")
        parser.add_argument("--minimum", default="", help="the least that a request costs")
        own = parser.add_argument_group("prices of your own")
        for name in price_input.CLASSES:
            unit = "a million tokens" if name in price_input.TOKEN_CLASSES else f"one {name}"
            own.add_argument(f"--{name.replace('_', '-')}", default="", help=f"for {unit}")
        parser.add_argument(
            "--usd-rate", default="", help="price of one US dollar, where the currency is another"
        )
        parser.add_argument("--remove", action="store_true", help="take the rule away")
        parser.add_argument("--force", action="store_true", help="save what looks like a typo")

    def act(self, options: dict[str, Any], actor: str) -> Answer:
        paywall = lookup.find_paywall(options["paywall"])
        match, value = _which(options)
        if options["usd_rate"]:
            rate = read_amount(options["usd_rate"], param="usd_rate")
            rules.set_usd_rate(paywall, rate, actor=actor)
        if options["remove"]:
            if match == "prefix":
                value = value.removesuffix("*")
            version = rules.remove_price(paywall, match, value, actor=actor)
            return _answer(paywall, version, f"Removed the price of {_named(match, value)}", ())
        rule = price_input.read_rule(_given(options, match, value))
        offered = catalog.load(paywall.pk).models
        costs = {name: model.cost for name, model in offered.items() if model.cost is not None}
        warnings = _warnings(
            rules.review_price(paywall, rule, costs), rule, set(offered) - set(costs)
        )
        version = rules.set_price(
            paywall, rule, costs=costs, is_forced=options["force"], actor=actor
        )
        done = f"{_named(match, rule.value)} costs {_described(rule, paywall.currency)}"
        return _answer(paywall, version, done[0].upper() + done[1:], warnings)


def _which(options: dict[str, Any]) -> tuple[Match, str]:
    matches: tuple[Match, ...] = ("model", "prefix", "feature")
    for match in matches:
        if options[match]:
            return match, options[match]
    return "default", ""


def _given(options: dict[str, Any], match: Match, value: str) -> price_input.RuleInput:
    return price_input.RuleInput(
        match=match,
        value=value,
        is_free=options["free"],
        markup=options["markup"],
        prices={name: options[name] for name in price_input.CLASSES},
        request=options["request"],
        minimum=options["minimum"],
    )


def _warnings(review: price_input.Review, rule: PriceRule, unknown: set[str]) -> tuple[str, ...]:
    found = [sentence for sentence in (review.typo, review.below_cost) if sentence]
    concerned = sorted(model for model in unknown if price_input.concerns(rule, model))
    if rule.basis == "cost" and concerned:
        found.append(
            f"The provider's cost is not known, so these still have no price: "
            f"{price_input.named(concerned)}."
        )
    return tuple(found)


def _named(match: Match, value: str) -> str:
    return "every other model" if match == "default" else f"{match} {value}"


def _described(rule: PriceRule, currency: str) -> str:
    if rule.basis == "free":
        return "nothing"
    rates = rule.rates
    prices = rates.as_dict()
    usage = "the provider's cost"
    if rule.basis == "own":
        own = (
            f"{format_nanos(prices[name])} {name}" for name in price_input.CLASSES if name in prices
        )
        usage = ", ".join(own) or "nothing for usage"
    parts = [usage]
    if rates.markup_bps:
        sign = "plus" if rates.markup_bps > 0 else "minus"
        parts[0] += f" {sign} {price_input.format_percent(abs(rates.markup_bps))}"
    parts += [f"{format_nanos(prices[name])} {word}" for name, word in FLAT if name in prices]
    return f"{'; '.join(parts)} ({currency})"


def _answer(
    paywall: Paywall, version: PriceVersion, done: str, warnings: tuple[str, ...]
) -> Answer:
    return Answer(
        text=f"{done} on {paywall.name} (price version {version.number}).",
        facts={"paywall": paywall.public_id, "version": version.number, "rules": version.rules},
        warnings=warnings,
    )
