from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from paywalls.pricing import (
    MARKUP_BPS_LEAST,
    MARKUP_BPS_MOST,
    TOKENS_PER_RATE,
    Rates,
    Usage,
    affordable_output_tokens,
    covers,
    lines,
    price_nanos,
    worst_nanos,
)

RATE = st.integers(min_value=0, max_value=10**12)
OWN_RATE = st.none() | RATE
MARKUP = st.integers(min_value=MARKUP_BPS_LEAST, max_value=MARKUP_BPS_MOST)
TOKENS = st.integers(min_value=0, max_value=2_000_000)
COUNT = st.integers(min_value=0, max_value=10_000)


@st.composite
def rates(draw):
    return Rates(
        prompt=draw(RATE),
        completion=draw(RATE),
        cached=draw(OWN_RATE),
        cache_write=draw(OWN_RATE),
        reasoning=draw(OWN_RATE),
        audio_prompt=draw(OWN_RATE),
        audio_completion=draw(OWN_RATE),
        image=draw(RATE),
        second=draw(RATE),
        character=draw(RATE),
        tool=draw(RATE),
        request=draw(RATE),
        minimum=draw(RATE),
        markup_bps=draw(MARKUP),
    )


@st.composite
def token_usages(draw, *, prompt=TOKENS, completion=TOKENS):
    prompt, completion = draw(prompt), draw(completion)
    cached = draw(st.integers(0, prompt))
    cache_write = draw(st.integers(0, prompt - cached))
    audio_prompt = draw(st.integers(0, prompt - cached - cache_write))
    reasoning = draw(st.integers(0, completion))
    return Usage(
        prompt=prompt,
        completion=completion,
        cached=cached,
        cache_write=cache_write,
        audio_prompt=audio_prompt,
        reasoning=reasoning,
        audio_completion=draw(st.integers(0, completion - reasoning)),
    )


@st.composite
def usages(draw):
    tokens = draw(token_usages())
    return Usage(
        **tokens.as_dict(),
        images=draw(COUNT),
        seconds=draw(COUNT),
        characters=draw(COUNT),
        tools=draw(COUNT),
    )


def exact(usage: Usage, terms: Rates) -> Fraction:
    """The law, written independently: each token once, at its own price or its container's."""

    def own(rate, container):
        return container if rate is None else rate

    token_costs = (
        (usage.cached, own(terms.cached, terms.prompt)),
        (usage.cache_write, own(terms.cache_write, terms.prompt)),
        (usage.audio_prompt, own(terms.audio_prompt, terms.prompt)),
        (usage.prompt - usage.cached - usage.cache_write - usage.audio_prompt, terms.prompt),
        (usage.reasoning, own(terms.reasoning, terms.completion)),
        (usage.audio_completion, own(terms.audio_completion, terms.completion)),
        (usage.completion - usage.reasoning - usage.audio_completion, terms.completion),
    )
    unit_costs = (
        (usage.images, terms.image),
        (usage.seconds, terms.second),
        (usage.characters, terms.character),
        (usage.tools, terms.tool),
    )
    total = Fraction(sum(Fraction(count * rate, 1_000_000) for count, rate in token_costs))
    total += sum(count * rate for count, rate in unit_costs)
    total = terms.request + total * (1 + Fraction(terms.markup_bps, 10_000))
    return max(Fraction(terms.minimum), total)


class TestPriceNanos:
    @given(usages(), rates())
    def test_is_exact_rounded_up_once(self, usage, terms):
        charge = price_nanos(usage, terms)
        assert exact(usage, terms) <= charge < exact(usage, terms) + 1

    @given(usages(), rates())
    def test_lines_recompute_to_the_charge(self, usage, terms):
        usage_part = sum(Fraction(line.count * line.rate, line.per) for line in lines(usage, terms))
        marked_up = usage_part * (1 + Fraction(terms.markup_bps, 10_000))
        assert max(Fraction(terms.minimum), terms.request + marked_up) == exact(usage, terms)

    def test_each_token_is_priced_once(self):
        terms = Rates(prompt=10**9, cached=10**8, completion=2 * 10**9, reasoning=3 * 10**9)
        usage = Usage(prompt=1_000_000, cached=1_000_000, completion=1_000_000, reasoning=1_000_000)
        assert price_nanos(usage, terms) == 10**8 + 3 * 10**9

    def test_fee_and_minimum_are_not_marked_up(self):
        terms = Rates(request=100, minimum=1_000, markup_bps=100_000)
        assert price_nanos(Usage(), terms) == 1_000
        assert price_nanos(Usage(), Rates(request=100, markup_bps=100_000)) == 100

    def test_the_smallest_use_costs_something(self):
        assert price_nanos(Usage(prompt=1), Rates(prompt=1)) == 1


class TestWorstNanos:
    @given(token_usages(), rates(), st.integers(0, 1000), st.integers(0, 1000))
    def test_no_usage_within_the_bounds_costs_more(self, usage, terms, more_prompt, more_output):
        worst = worst_nanos(
            prompt_tokens=usage.prompt + more_prompt,
            output_tokens=usage.completion + more_output,
            rates=terms,
        )
        assert price_nanos(usage, terms) <= worst


class TestAffordableOutputTokens:
    @given(st.integers(0, 10**15), TOKENS, rates())
    def test_is_the_most_that_the_budget_pays_for(self, budget, prompt, terms):
        found = affordable_output_tokens(budget_nanos=budget, prompt_tokens=prompt, rates=terms)

        def worst(output: int) -> int:
            return worst_nanos(prompt_tokens=prompt, output_tokens=output, rates=terms)

        if found is None:
            assert worst(10**9) <= budget
        elif found == 0 and worst(0) > budget:
            assert worst(0) > budget
        else:
            assert worst(found) <= budget < worst(found + 1)

    @given(TOKENS, TOKENS, rates())
    def test_a_budget_of_the_worst_case_covers_it(self, prompt, output, terms):
        assume(terms.completion)
        budget = worst_nanos(prompt_tokens=prompt, output_tokens=output, rates=terms)
        found = affordable_output_tokens(budget_nanos=budget, prompt_tokens=prompt, rates=terms)
        assert found is not None
        assert found >= output

    def test_free_output_has_no_bound(self):
        terms = Rates(prompt=TOKENS_PER_RATE)
        assert affordable_output_tokens(budget_nanos=5, prompt_tokens=5, rates=terms) is None
        assert affordable_output_tokens(budget_nanos=4, prompt_tokens=5, rates=terms) == 0


class TestCovers:
    @given(usages(), rates(), st.integers(0, 5_000), st.integers(0, 10**9))
    def test_what_is_covered_never_costs_more(self, usage, bought, more_bps, more):
        markup = min(bought.markup_bps + more_bps, MARKUP_BPS_MOST)
        sold = replace(bought, markup_bps=markup, request=bought.request + more)
        assert covers(sold, bought)
        assert price_nanos(usage, sold) >= price_nanos(usage, bought)

    @given(
        rates(), st.sampled_from(["prompt", "completion", "image", "tool", "request", "minimum"])
    )
    def test_one_cheap_class_is_enough(self, bought, cheap):
        assume(getattr(bought, cheap) > 0)
        assert not covers(replace(bought, **{cheap: getattr(bought, cheap) - 1}), bought)

    @given(rates(), st.sampled_from(["cached", "reasoning", "audio_prompt"]))
    def test_parts_with_a_price_of_their_own_count(self, bought, part):
        assume(getattr(bought, part))
        assert not covers(replace(bought, **{part: getattr(bought, part) - 1}), bought)


class TestStoredForms:
    @given(rates())
    def test_rates_read_back(self, terms):
        assert Rates.from_dict(terms.as_dict()) == terms

    @given(usages())
    def test_usage_reads_back(self, usage):
        assert Usage(**usage.as_dict()) == usage


class TestImpossibleValues:
    @pytest.mark.parametrize(
        "counts",
        [
            {"prompt": -1},
            {"prompt": 1, "cached": 2},
            {"prompt": 5, "cached": 3, "cache_write": 3},
            {"completion": 1, "reasoning": 2},
            {"images": -1},
        ],
    )
    def test_usage_refuses(self, counts):
        with pytest.raises(AssertionError):
            Usage(**counts)

    @pytest.mark.parametrize(
        "values", [{"markup_bps": -9_901}, {"markup_bps": 100_001}, {"prompt": -1}, {"cached": -1}]
    )
    def test_rates_refuse(self, values):
        with pytest.raises(AssertionError):
            Rates(**values)
