"""What models cost, from the data of the `genai-prices` package: offline, exact, dated.

Where a price depends on the length of the prompt or on how long a cache entry lives, the dearest
one is taken, so that nothing is ever sold below cost; batch, flex and priority prices are left out.
"""

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, Decimal
from importlib.metadata import version
from typing import Any, Final

from genai_prices.data import providers as published
from genai_prices.types import ClauseEquals, ClauseOr, ModelInfo, ModelPrice, TieredPrices

from config.kit import limits
from config.kit.money import NANOS
from paywalls.pricing import Rates
from providers.demo import models as demo

KINDS: Final = ("anthropic", "openai", "openrouter", "together")
SOURCE_NAME: Final = "genai-prices"
SOURCE: Final = f"{SOURCE_NAME} {version(SOURCE_NAME)}"
DEMO_SOURCE: Final = "demo"
PER_THOUSAND: Final = 1_000

_DATE: Final = re.compile(r"[-@](?:[0-9]{8}|[0-9]{4}-[0-9]{2}-[0-9]{2})$")
_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "prompt": ("input_mtok",),
    "completion": ("output_mtok",),
    "cached": ("cache_read_mtok",),
    "cache_write": ("cache_write_mtok", "cache_write_1h_mtok"),
    "reasoning": ("output_reasoning_mtok",),
    "audio_prompt": ("input_audio_mtok",),
    "audio_completion": ("output_audio_mtok",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Priced:
    """A model of a kind of provider. cost: nanos of a dollar; None when nobody says.

    is_tiered: the dearest of several prices was taken.
    """

    kind: str
    name: str
    display_name: str = ""
    description: str = ""
    context_tokens: int | None = None
    output_tokens_max: int | None = None
    cost: Rates | None
    is_tiered: bool = False
    source: str = SOURCE


def models(moment: dt.datetime) -> dict[tuple[str, str], Priced]:
    """Every chat model of the kinds that we know, with what it costs at a moment.

    By kind and name.
    """
    found: dict[tuple[str, str], Priced] = {}
    for provider in published:
        if provider.id in KINDS:
            for info in provider.models:
                for priced in _named(provider.id, info, moment):
                    found.setdefault((priced.kind, priced.name), priced)
    return found | {(model.kind, model.name): model for model in _demo()}


def dated(book: Mapping[tuple[str, str], Priced], kind: str, name: str) -> Priced | None:
    """The model of the book that a provider's own name means, with or without its date.

    book: by kind and name. Nothing is guessed beyond a date: a new family has its own price.
    """
    plain = _DATE.sub("", name)
    names = (name, plain, f"{plain}-latest")
    return next((book[kind, each] for each in names if (kind, each) in book), None)


def rates(price: ModelPrice) -> Rates | None:
    """Prices in nanos per million tokens, and per search; None when not both ways are priced."""
    known = {
        name: max(values)
        for name, fields in _FIELDS.items()
        if (values := [nanos for field in fields for nanos in _nanos(price, field)])
    }
    if "prompt" not in known or "completion" not in known:
        return None
    searches = max(_nanos(price, "web_searches_kcount"), default=0)
    return Rates(**known, tool=-(-searches // PER_THOUSAND))


def _named(kind: str, info: ModelInfo, moment: dt.datetime) -> Iterator[Priced]:
    """The model under its id and under every other name that it is exactly known by."""
    price = info.get_prices(moment)
    cost = rates(price)
    if cost is None and any(_nanos(price, name) for name in vars(price)):
        return  # an embedding, a voice: it has a price, but not that of a chat
    priced = Priced(
        kind=kind,
        name=info.id,
        display_name=info.name or "",
        description=" ".join((info.description or "").split()),
        context_tokens=info.context_window,
        cost=cost,
        is_tiered=any(isinstance(value, TieredPrices) for value in vars(price).values()),
    )
    for name in (info.id, *_exact_names(info.match)):
        # An id that ends so is the beginning of a family's names; OpenRouter's have a vendor.
        is_whole = not name.endswith(("-", ":", "/")) and (kind != "openrouter" or "/" in name)
        if is_whole and len(name) <= limits.MODEL_CHARS_MAX:
            yield replace(priced, name=name)


def _exact_names(match: Any) -> list[str]:
    if isinstance(match, ClauseEquals):
        return [match.equals]
    if isinstance(match, ClauseOr):
        return [name for clause in match.or_ for name in _exact_names(clause)]
    return []


def _nanos(price: ModelPrice, field: str) -> list[int]:
    """All prices of one field, rounded up to whole nanos."""
    value = getattr(price, field, None)
    if isinstance(value, TieredPrices):
        values = [value.base, *(tier.price for tier in value.tiers)]
    else:
        values = [value] if isinstance(value, Decimal) else []
    return [int((amount * NANOS).to_integral_value(ROUND_CEILING)) for amount in values]


def _demo() -> list[Priced]:
    return [
        Priced(
            kind="demo",
            name=model.name,
            display_name=model.title,
            description=model.description,
            context_tokens=demo.CONTEXT_TOKENS,
            output_tokens_max=demo.OUTPUT_TOKENS_MAX,
            cost=demo.RATES,
            source=DEMO_SOURCE,
        )
        for model in demo.MODELS.values()
    ]
