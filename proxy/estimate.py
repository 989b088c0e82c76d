"""The worst case a request can cost. Pure: numbers in, numbers out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from config.kit.limits import OUTPUT_TOKENS_DEFAULT, OUTPUT_TOKENS_LEAST, OUTPUT_TOKENS_MAX
from config.kit.money import AMOUNT_NANOS_MAX
from paywalls.pricing import Rates, affordable_output_tokens, tool_nanos, worst_nanos
from proxy.surcharges import NONE, Surcharges

BYTES_PER_TOKEN: Final = 3
"""A guess at how many bytes of a body make a token, where being wrong costs nobody money."""

BOUND_PERCENT: Final = 110
"""Of a prompt counted here, as other tokenizers may count it."""


@dataclass(slots=True, kw_only=True)
class Estimate:
    """What to hold: want_nanos is the worst case, least_nanos that of the shortest answer.

    prompt_tokens: an upper bound. output_tokens: of one choice. choices: how many there are.
    extra: what may come on top, whatever the length of the answer.
    """

    want_nanos: int
    least_nanos: int
    prompt_tokens: int
    output_tokens: int
    choices: int
    extra: Surcharges = NONE


def output_bound(
    *,
    asked: int | None,
    model_max: int | None,
    context_tokens: int | None,
    body_bytes: int,
    cap: int | None,
) -> int:
    """The most output tokens of one choice: what was asked for, within model and limits.

    Where nothing was asked for, room is left for the prompt: providers refuse a prompt and an
    answer that together are longer than the context.
    """
    bound = asked or model_max or OUTPUT_TOKENS_DEFAULT
    if asked is None and context_tokens is not None:
        room = context_tokens - body_bytes // BYTES_PER_TOKEN
        bound = min(bound, max(room, OUTPUT_TOKENS_LEAST))
    for limit in (model_max, cap, OUTPUT_TOKENS_MAX):
        if limit is not None and limit < bound:
            bound = limit
    return max(bound, 1)


def estimate(
    rates: Sequence[Rates],
    *,
    prompt_tokens: int,
    output_tokens: int,
    choices: int,
    extra: Surcharges = NONE,
    max_cost_nanos: int | None = None,
) -> Estimate:
    """What to hold for a request that any of these prices may apply to, the first one first.

    max_cost_nanos bounds what is wanted; where even the least is above it, the caller refuses.
    """
    assert rates, "nothing to choose from"

    predicted, calls = extra.predicted_tokens, extra.tool_calls
    shortest = (min(output_tokens, OUTPUT_TOKENS_LEAST) + predicted) * choices
    longest = (output_tokens + predicted) * choices
    least = _worst_nanos(rates[0], prompt_tokens, shortest, calls)
    want = max([_worst_nanos(each, prompt_tokens, longest, calls) for each in rates])
    if max_cost_nanos is not None:
        want = max(min(want, max_cost_nanos), least)
    assert 0 <= least <= want, (least, want)
    return Estimate(
        want_nanos=min(want, AMOUNT_NANOS_MAX),
        least_nanos=min(least, AMOUNT_NANOS_MAX),
        prompt_tokens=prompt_tokens,
        output_tokens=output_tokens,
        choices=choices,
        extra=extra,
    )


def _worst_nanos(rates: Rates, prompt_tokens: int, output_tokens: int, tool_calls: int) -> int:
    nanos = worst_nanos(prompt_tokens=prompt_tokens, output_tokens=output_tokens, rates=rates)
    return nanos + tool_nanos(tool_calls, rates) if tool_calls else nanos


def granted_output_tokens(estimated: Estimate, rates: Rates, *, granted_nanos: int) -> int:
    """How many output tokens of one choice a hold pays for; 0: not even one."""
    tool_calls = estimated.extra.tool_calls
    affordable = affordable_output_tokens(
        budget_nanos=granted_nanos - (tool_nanos(tool_calls, rates) if tool_calls else 0),
        prompt_tokens=estimated.prompt_tokens,
        rates=rates,
    )
    if affordable is None:
        return estimated.output_tokens
    each = affordable // estimated.choices - estimated.extra.predicted_tokens
    return max(0, min(estimated.output_tokens, each))
