"""What a request costs. Pure: no database, no clock, no settings."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final, Self

from config.kit.money import ceil_div

TOKENS_PER_RATE: Final = 1_000_000
BASIS_POINTS: Final = 10_000
MARKUP_BPS_LEAST: Final = -9_900
MARKUP_BPS_MOST: Final = 100_000
COUNT_MAX: Final = 1_000_000_000
"""The most of any class that a provider may report; beyond it the report is garbage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a request used, as OpenAI counts: `cached`, `cache_write` and `audio_prompt` are parts
    of `prompt`; `reasoning` and `audio_completion` are parts of `completion`.
    """

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0
    audio_prompt: int = 0
    audio_completion: int = 0
    images: int = 0
    seconds: int = 0
    characters: int = 0
    tools: int = 0

    def __post_init__(self) -> None:
        assert min(self.prompt, self.completion, self.cached, self.cache_write) >= 0, self
        assert min(self.reasoning, self.audio_prompt, self.audio_completion) >= 0, self
        assert min(self.images, self.seconds, self.characters, self.tools) >= 0, self
        assert self.cached + self.cache_write + self.audio_prompt <= self.prompt, self
        assert self.reasoning + self.audio_completion <= self.completion, self

    def as_dict(self) -> dict[str, int]:
        """Only what is not zero: the form it is stored in."""
        return {name: count for name in USAGE_FIELDS if (count := getattr(self, name))}


USAGE_FIELDS: Final = tuple(f.name for f in fields(Usage))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Prices in nanos: per million tokens for token classes, per unit for the others.

    A class without a price of its own (None) is priced as what contains it: cached, cache_write
    and audio_prompt as prompt; reasoning and audio_completion as completion; units as free.
    `request` and `minimum` are flat and not marked up.
    """

    prompt: int = 0
    completion: int = 0
    cached: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    audio_prompt: int | None = None
    audio_completion: int | None = None
    image: int = 0
    second: int = 0
    character: int = 0
    tool: int = 0
    request: int = 0
    minimum: int = 0
    markup_bps: int = 0

    def __post_init__(self) -> None:
        assert MARKUP_BPS_LEAST <= self.markup_bps <= MARKUP_BPS_MOST, self
        assert all(
            (getattr(self, f.name) or 0) >= 0 for f in fields(self) if f.name != "markup_bps"
        ), self

    def as_dict(self) -> dict[str, int]:
        """Only what is set: the form it is stored in."""
        return {f.name: value for f in fields(self) if (value := getattr(self, f.name))} | {
            name: 0
            for name in ("cached", "cache_write", "reasoning", "audio_prompt", "audio_completion")
            if getattr(self, name) == 0
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, int]) -> Self:
        """Read back what `as_dict` stored."""
        return cls(**stored)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a receipt: `count` of a class at `rate`, before markup."""

    name: str
    count: int
    rate: int
    per: int

    @property
    def scaled(self) -> int:
        """The amount in nanos times a million, exact."""
        return self.count * self.rate * (TOKENS_PER_RATE // self.per)


def lines(usage: Usage, rates: Rates) -> list[Line]:
    """Every class that was used, each token once."""

    def rate_of(own: int | None, container: int) -> int:
        return container if own is None else own

    prompt, completion, mtok = rates.prompt, rates.completion, TOKENS_PER_RATE
    plain_prompt = usage.prompt - usage.cached - usage.cache_write - usage.audio_prompt
    plain_completion = usage.completion - usage.reasoning - usage.audio_completion
    all_lines = (
        Line("prompt", plain_prompt, prompt, mtok),
        Line("cached", usage.cached, rate_of(rates.cached, prompt), mtok),
        Line("cache_write", usage.cache_write, rate_of(rates.cache_write, prompt), mtok),
        Line("audio_prompt", usage.audio_prompt, rate_of(rates.audio_prompt, prompt), mtok),
        Line("completion", plain_completion, completion, mtok),
        Line("reasoning", usage.reasoning, rate_of(rates.reasoning, completion), mtok),
        Line(
            "audio_completion",
            usage.audio_completion,
            rate_of(rates.audio_completion, completion),
            mtok,
        ),
        Line("image", usage.images, rates.image, 1),
        Line("second", usage.seconds, rates.second, 1),
        Line("character", usage.characters, rates.character, 1),
        Line("tool", usage.tools, rates.tool, 1),
    )
    return [line for line in all_lines if line.count]


def price_nanos(usage: Usage, rates: Rates) -> int:
    """The charge in nanos, rounded up once, at the end: exact ≤ charge < exact + 1.

    >>> gpt = Rates(prompt=150_000_000, completion=600_000_000, cached=75_000_000, markup_bps=2_000)
    >>> price_nanos(Usage(prompt=1000, completion=500), gpt)
    540000
    """
    return _charge_nanos(_scaled(usage, rates), rates)


def worst_nanos(*, prompt_tokens: int, output_tokens: int, rates: Rates) -> int:
    """The most that a request with at most this many tokens can cost, whatever their class."""
    scaled = prompt_tokens * _dearest_prompt(rates) + output_tokens * _dearest_completion(rates)
    return _charge_nanos(scaled, rates)


def tool_nanos(calls: int, rates: Rates) -> int:
    """What so many tool calls cost, without fee and minimum."""
    return ceil_div(calls * rates.tool * (BASIS_POINTS + rates.markup_bps), BASIS_POINTS)


_ONE_OF_EACH: Final = (
    *(Usage(prompt=1, **{part: 1}) for part in ("cached", "cache_write", "audio_prompt")),
    *(Usage(completion=1, **{part: 1}) for part in ("reasoning", "audio_completion")),
    *(Usage(**{unit: 1}) for unit in ("prompt", "completion", "images", "seconds")),
    *(Usage(**{unit: 1}) for unit in ("characters", "tools")),
)


def covers(sold: Rates, bought: Rates) -> bool:
    """Whether nothing that a request can use costs more than it is sold for.

    >>> covers(Rates(prompt=10), Rates(prompt=10, cached=2))
    True
    >>> covers(Rates(prompt=10, cached=1), Rates(prompt=10, cached=2))
    False
    """
    sold_bps, bought_bps = BASIS_POINTS + sold.markup_bps, BASIS_POINTS + bought.markup_bps
    flat = sold.request >= bought.request and sold.minimum >= bought.minimum
    return flat and all(
        _scaled(usage, sold) * sold_bps >= _scaled(usage, bought) * bought_bps
        for usage in _ONE_OF_EACH
    )


def affordable_output_tokens(*, budget_nanos: int, prompt_tokens: int, rates: Rates) -> int | None:
    """How many output tokens `budget_nanos` pays for in the worst case; None: any number.

    The result's `worst_nanos` is at most the budget, and one more token's is above it. 0 also
    when the prompt alone is above it.
    """
    base = worst_nanos(prompt_tokens=prompt_tokens, output_tokens=0, rates=rates)
    if base > budget_nanos:
        return 0
    per_token = _dearest_completion(rates)
    if per_token == 0:
        return None
    scaled_budget = (budget_nanos - rates.request) * TOKENS_PER_RATE * BASIS_POINTS
    prompt_scaled = prompt_tokens * _dearest_prompt(rates)
    left = scaled_budget // (BASIS_POINTS + rates.markup_bps) - prompt_scaled
    return left // per_token


def _scaled(usage: Usage, rates: Rates) -> int:
    """The sum of all `lines` without making them: the hot path prices twice a request.

    A part with a price of its own differs from its container by this much a token.
    """
    scaled = usage.prompt * rates.prompt + usage.completion * rates.completion
    for count, own, container in (
        (usage.cached, rates.cached, rates.prompt),
        (usage.cache_write, rates.cache_write, rates.prompt),
        (usage.audio_prompt, rates.audio_prompt, rates.prompt),
        (usage.reasoning, rates.reasoning, rates.completion),
        (usage.audio_completion, rates.audio_completion, rates.completion),
    ):
        if count and own is not None:
            scaled += count * (own - container)
    units = (
        usage.images * rates.image
        + usage.seconds * rates.second
        + usage.characters * rates.character
        + usage.tools * rates.tool
    )
    return scaled + units * TOKENS_PER_RATE


def _charge_nanos(scaled: int, rates: Rates) -> int:
    """scaled: nanos times a million, before markup."""
    marked_up = scaled * (BASIS_POINTS + rates.markup_bps)
    charge = rates.request + ceil_div(marked_up, TOKENS_PER_RATE * BASIS_POINTS)
    return max(charge, rates.minimum)


def _dearest_prompt(rates: Rates) -> int:
    return max(rates.prompt, rates.cached or 0, rates.cache_write or 0, rates.audio_prompt or 0)


def _dearest_completion(rates: Rates) -> int:
    return max(rates.completion, rates.reasoning or 0, rates.audio_completion or 0)
