"""Price rules as people write them, and what is probably wrong with them. Pure.

Prices are decimal strings: for a million tokens, or for one unit (image, second, character, tool,
request). A markup is in percent.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from config.kit import limits
from config.kit.errors import InvalidRequestError
from config.kit.money import format_nanos, parse_nanos
from paywalls.pricing import (
    BASIS_POINTS,
    MARKUP_BPS_LEAST,
    MARKUP_BPS_MOST,
    Rates,
)
from paywalls.types import Match, PriceRule

TOKEN_CLASSES: Final = (
    "prompt",
    "completion",
    "cached",
    "cache_write",
    "reasoning",
    "audio_prompt",
    "audio_completion",
)
UNIT_CLASSES: Final = ("image", "second", "character", "tool")
CLASSES: Final = (*TOKEN_CLASSES, *UNIT_CLASSES)
FLAT: Final = ("request", "minimum")
TYPO_FACTOR: Final = 100
"""A price a hundred times above or below cost for every model is a price for a thousand tokens."""

NAMED_MAX: Final = 3

_PERCENT: Final = re.compile(r"([+-]?)([0-9]{1,4})(?:\.([0-9]{1,2}))?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleInput:
    """What somebody asks for. prices: class → decimal string. Blank values were not given."""

    match: Match = "default"
    value: str = ""
    is_free: bool = False
    markup: str = ""
    prices: Mapping[str, str] = field(default_factory=dict)
    request: str = ""
    minimum: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What looks wrong: sentences, empty when nothing does."""

    typo: str = ""
    below_cost: str = ""


def read_rule(given: RuleInput) -> PriceRule:
    """The rule that was asked for.

    Raises: InvalidRequestError; `param` names the field or the price class.
    """
    value = _read_value(given)
    prices = {name: text for name, text in given.prices.items() if text}
    if given.is_free:
        if prices or given.markup or given.request or given.minimum:
            raise InvalidRequestError("A free model has no price beside.", param="free")
        return PriceRule(match=given.match, value=value, basis="free")
    terms = {
        "markup_bps": _read_markup(given.markup) if given.markup else 0,
        "request": _read_price("request", given.request) if given.request else 0,
        "minimum": _read_price("minimum", given.minimum) if given.minimum else 0,
    }
    if not prices:
        if not given.markup:
            raise InvalidRequestError(
                "Say what it costs: a markup on the provider's cost (0 passes the cost on), "
                "prices, or free.",
                param="markup",
            )
        return PriceRule(match=given.match, value=value, basis="cost", rates=Rates(**terms))
    rates = _read_own(prices, terms)
    return PriceRule(match=given.match, value=value, basis="own", rates=rates)


def _read_value(given: RuleInput) -> str:
    value = given.value.strip()
    if given.match == "prefix":
        value = value.removesuffix("*")
    if given.match == "default":
        if value:
            raise InvalidRequestError("The default rule names no model.", param="value")
        return ""
    bound = limits.LABEL_CHARS_MAX if given.match == "feature" else limits.MODEL_CHARS_MAX
    if not value or len(value) > bound or not value.isprintable():
        raise InvalidRequestError(
            f"A {given.match} has 1 to {bound} visible characters.", param=given.match
        )
    return value


def _read_own(prices: Mapping[str, str], terms: Mapping[str, int]) -> Rates:
    for name in prices:
        if name not in CLASSES:
            raise InvalidRequestError(
                f"{name!r} is not a price class: choose from {', '.join(CLASSES)}.", param=name
            )
    of_tokens = [name for name in TOKEN_CLASSES if name in prices]
    for name in ("prompt", "completion"):
        if of_tokens and name not in prices:
            raise InvalidRequestError(
                f"A price for {of_tokens[0]} tokens needs one for {name} tokens too, "
                "which may be 0.",
                param=name,
            )
    rates = {name: _read_price(name, text) for name, text in prices.items()}
    if not any(rates.values()) and not terms["request"] and not terms["minimum"]:
        raise InvalidRequestError(
            "All prices are 0: say that it is free if you mean it.", param="free"
        )
    return Rates(**rates, **terms)


def _read_price(name: str, text: str) -> int:
    nanos = parse_nanos(text)
    if nanos is None or nanos > limits.PRICE_NANOS_MAX:
        most = format_nanos(limits.PRICE_NANOS_MAX)
        raise InvalidRequestError(
            f"{text!r} is not a price: a decimal number from 0 to {most} with at most nine "
            "decimals, such as 0.15.",
            param=name,
        )
    return nanos


def _read_markup(text: str) -> int:
    """Basis points of a percentage: "20" is 2000, "-2.5" is -250."""
    match = _PERCENT.fullmatch(text.removesuffix("%"))
    bps = None
    if match:
        sign, whole, fraction = match.groups()
        bps = int(whole) * 100 + int((fraction or "").ljust(2, "0"))
        bps = -bps if sign == "-" else bps
    if bps is None or not MARKUP_BPS_LEAST <= bps <= MARKUP_BPS_MOST:
        raise InvalidRequestError(
            f"{text!r} is not a markup: a percentage from {MARKUP_BPS_LEAST // 100} to "
            f"{MARKUP_BPS_MOST // 100} with at most two decimals, such as 20.",
            param="markup",
        )
    return bps


def format_percent(bps: int) -> str:
    """Basis points as a percentage.

    >>> format_percent(2000), format_percent(-250)
    ('20 %', '-2.5 %')
    """
    whole, fraction = divmod(abs(bps), 100)
    text = f"{whole}.{fraction:02d}".rstrip("0").rstrip(".")
    return f"{'-' if bps < 0 else ''}{text} %"


def review(rule: PriceRule, costs: Mapping[str, Rates]) -> Review:
    """Compare a rule with the costs of the models it can apply to, in the same currency."""
    relevant = {model: cost for model, cost in costs.items() if concerns(rule, model)}
    if rule.basis == "free" or not relevant:
        return Review()
    below = sorted(model for model, cost in relevant.items() if _is_below(rule, cost))
    return Review(
        typo=_typo(rule, relevant) if rule.basis == "own" else "",
        below_cost=f"Sold below the provider's cost: {named(below)}." if below else "",
    )


def concerns(rule: PriceRule, model: str) -> bool:
    """Whether a rule can apply to a model, known as `connection/name` or just `name`."""
    names = (model, model.partition("/")[2])
    if rule.match == "model":
        return rule.value in names
    return rule.match != "prefix" or any(name.startswith(rule.value) for name in names)


def _is_below(rule: PriceRule, cost: Rates) -> bool:
    if rule.basis == "cost":
        return rule.rates.markup_bps < 0
    return any(
        sold * (BASIS_POINTS + rule.rates.markup_bps) < bought * BASIS_POINTS
        for sold, bought in _pairs(rule.rates, cost)
    )


def _typo(rule: PriceRule, costs: Mapping[str, Rates]) -> str:
    def is_far(sold: int, bought: int) -> bool:
        return bool(sold and bought) and not (
            sold < bought * TYPO_FACTOR and bought < sold * TYPO_FACTOR
        )

    for cost in costs.values():
        if not any(is_far(sold, bought) for sold, bought in _pairs(rule.rates, cost)):
            return ""
    model, cost = next(iter(costs.items()))
    return (
        f"This is a hundred times off the provider's cost ({model}: "
        f"{format_nanos(cost.prompt)} prompt, {format_nanos(cost.completion)} completion, for a "
        "million tokens). Prices are for a million tokens: force it if you mean it."
    )


def _pairs(sold: Rates, bought: Rates) -> tuple[tuple[int, int], ...]:
    return ((sold.prompt, bought.prompt), (sold.completion, bought.completion))


def named(models: Sequence[str]) -> str:
    """The first few models of a list."""
    more = len(models) - NAMED_MAX
    return ", ".join(models[:NAMED_MAX]) + (f" and {more} more" if more > 0 else "")


def to_stored(rule: PriceRule) -> dict[str, Any]:
    """The form a price version keeps."""
    return {
        "match": rule.match,
        "value": rule.value,
        "basis": rule.basis,
        "rates": rule.rates.as_dict(),
    }


def from_stored(stored: Mapping[str, Any]) -> PriceRule:
    """Read back what `to_stored` made."""
    return PriceRule(
        match=stored["match"],
        value=stored["value"],
        basis=stored["basis"],
        rates=Rates.from_dict(stored["rates"]),
    )
