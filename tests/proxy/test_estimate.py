"""The worst case is never less than what a request can cost, and never asks for too little."""

from hypothesis import assume, given
from hypothesis import strategies as st

from config.kit.limits import OUTPUT_TOKENS_DEFAULT, OUTPUT_TOKENS_LEAST, OUTPUT_TOKENS_MAX
from paywalls.pricing import Rates, Usage, price_nanos, worst_nanos
from proxy.estimate import estimate, granted_output_tokens, output_bound

prices = st.integers(0, 10**9)
rates = st.builds(
    Rates,
    prompt=prices,
    completion=prices,
    cached=st.none() | prices,
    reasoning=st.none() | prices,
    request=st.integers(0, 10**6),
    minimum=st.integers(0, 10**6),
    markup_bps=st.integers(-9_900, 20_000),
)
tokens = st.integers(0, 10**6)
several = st.lists(rates, min_size=1, max_size=3)


def bound(**more):
    fields = {
        "asked": None,
        "model_max": None,
        "context_tokens": None,
        "body_bytes": 0,
        "cap": None,
    }
    return output_bound(**(fields | more))


class TestOutputBound:
    def test_says_nobody_anything_then_the_default(self):
        assert bound() == OUTPUT_TOKENS_DEFAULT

    def test_the_smallest_of_what_was_asked_model_and_limit(self):
        assert bound(asked=100, model_max=50) == 50
        assert bound(asked=100, model_max=500, cap=20) == 20
        assert bound(model_max=500) == 500
        assert bound(asked=10**12) == OUTPUT_TOKENS_MAX

    def test_leaves_room_for_the_prompt_only_where_nothing_was_asked_for(self):
        assert bound(model_max=8_000, context_tokens=8_000, body_bytes=3_000) == 7_000
        assert bound(asked=8_000, context_tokens=8_000, body_bytes=3_000) == 8_000
        assert bound(context_tokens=10, body_bytes=10**6) == OUTPUT_TOKENS_LEAST

    def test_is_never_zero(self):
        assert bound(cap=0) == 1


class TestEstimate:
    @given(several, tokens, st.integers(1, 10**6), st.integers(1, 128))
    def test_no_usage_within_the_bounds_costs_more_than_is_wanted(self, offers, prompt, out, n):
        found = estimate(offers, prompt_tokens=prompt, output_tokens=out, choices=n)
        usage = Usage(prompt=prompt, completion=out * n, cached=prompt // 2, reasoning=out // 3)
        assert all(price_nanos(usage, each) <= found.want_nanos for each in offers)
        assert found.least_nanos <= found.want_nanos

    @given(several, tokens, st.integers(1, 10**6), st.integers(0, 10**12))
    def test_max_cost_bounds_what_is_wanted_down_to_the_least(self, offers, prompt, out, most):
        found = estimate(
            offers, prompt_tokens=prompt, output_tokens=out, choices=1, max_cost_nanos=most
        )
        assert found.want_nanos <= max(most, found.least_nanos)


class TestGrantedOutputTokens:
    @given(rates, tokens, st.integers(1, 10**6), st.integers(1, 8), st.floats(0, 1))
    def test_what_a_hold_grants_never_costs_more_than_the_hold(self, price, prompt, out, n, part):
        found = estimate([price], prompt_tokens=prompt, output_tokens=out, choices=n)
        granted = found.least_nanos + int((found.want_nanos - found.least_nanos) * part)
        allowed = granted_output_tokens(found, price, granted_nanos=granted)
        assert min(out, OUTPUT_TOKENS_LEAST) <= allowed <= out
        cost = worst_nanos(prompt_tokens=prompt, output_tokens=allowed * n, rates=price)
        assert cost <= granted

    @given(rates, tokens, st.integers(1, 10**6))
    def test_a_full_hold_grants_all_that_was_asked(self, price, prompt, out):
        found = estimate([price], prompt_tokens=prompt, output_tokens=out, choices=1)
        granted = granted_output_tokens(found, price, granted_nanos=found.want_nanos)
        assert granted == out

    @given(rates, rates, tokens, st.integers(100, 10**6))
    def test_a_dearer_fallback_is_not_granted_more_than_the_hold_pays(
        self, own, other, prompt, out
    ):
        found = estimate([own, other], prompt_tokens=prompt, output_tokens=out, choices=1)
        allowed = granted_output_tokens(found, other, granted_nanos=found.least_nanos)
        assume(allowed > 0)
        cost = worst_nanos(prompt_tokens=prompt, output_tokens=allowed, rates=other)
        assert cost <= found.least_nanos
