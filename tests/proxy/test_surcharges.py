"""What makes a provider's bill larger is in the hold, or refused until its owner lets it pass."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.kit.limits import TOOL_CALLS_MAX
from paywalls.pricing import Rates, Usage, price_nanos
from providers.types import Policy
from proxy import surcharges
from proxy.estimate import estimate, granted_output_tokens
from proxy.surcharges import Surcharges
from tests.support.chats import request

PLAIN = Rates(prompt=10**9, completion=10**9)
PRICED = Rates(prompt=10**9, completion=10**9, tool=10**7, audio_completion=10**10)
REFUSE, PASS = Policy(), Policy(surcharges="pass")
FUNCTION = {"type": "function", "function": {"name": "x"}}

UNPRICEABLE: list[dict[str, Any]] = [
    {"service_tier": "priority"},
    {"service_tier": "scale"},
    {"service_tier": ["flex"]},
    {"provider": {"only": ["dear"]}},
    {"modalities": ["image", "text"]},
    {"modalities": "image"},
    {"modalities": [{}]},
    {"extra_body": {"service_tier": "priority"}, "service_tier": "flex"},
]
TOOLS: list[dict[str, Any]] = [
    {"plugins": [{"id": "web"}]},
    {"web_search_options": {}},
    {"search_parameters": {"mode": "on"}},
    {"enable_search": True},
    {"tools": [FUNCTION, {"type": "web_search"}]},
    {"tools": [{"type": {}}]},
    {"extra_body": {"plugins": [{"id": "web"}]}},
]
AUDIO: list[dict[str, Any]] = [
    {"audio": {"voice": "ash", "format": "wav"}},
    {"modalities": ["text", "audio"]},
]
FREE: list[dict[str, Any]] = [
    {},
    {"service_tier": None},
    {"service_tier": "auto"},
    {"service_tier": "flex"},
    {"modalities": ["text"]},
    {"plugins": []},
    {"enable_search": False},
    {"tools": [FUNCTION, {"type": "custom"}, {"function": {}}]},
    {"transforms": ["middle-out"], "reasoning_effort": "high", "logprobs": True, "store": True},
    {"extra_body": {"top_k": 5}},
]


def field_of(body: dict[str, Any], rates: Rates, policy: Policy = REFUSE) -> str:
    return surcharges.find(request(**body)).not_covered(rates, policy)


@pytest.mark.parametrize("body", UNPRICEABLE, ids=str)
def test_what_no_price_covers_is_refused_until_the_owner_lets_it_pass(body):
    assert field_of(body, PRICED) in {"service_tier", "provider", "modalities"}
    assert field_of(body, PRICED, PASS) == ""


@pytest.mark.parametrize("body", [*TOOLS, *AUDIO], ids=str)
def test_what_a_price_of_its_own_covers_is_refused_without_one(body):
    assert field_of(body, PLAIN)
    assert field_of(body, PRICED) == field_of(body, PLAIN, PASS) == ""


@pytest.mark.parametrize("body", FREE, ids=str)
def test_the_rest_is_free_to_pass(body):
    found = surcharges.find(request(**body))
    assert found.not_covered(PLAIN, REFUSE) == ""
    assert (found.tool_calls, found.prompt_tokens, found.predicted_tokens) == (0, 0, 0)


def test_a_refusal_names_the_field():
    error = surcharges.refusal("service_tier")
    assert (error.status, error.param) == (400, "service_tier")


def test_a_predictions_tokens_are_never_more_than_its_bytes():
    text = "Grüße " * 40
    found = surcharges.find(request(prediction={"type": "content", "content": text}))
    assert found.predicted_tokens >= len(text.encode())


prices = st.integers(0, 10**9)
rates = st.builds(
    Rates,
    prompt=prices,
    completion=prices,
    tool=prices,
    request=st.integers(0, 10**6),
    minimum=st.integers(0, 10**6),
    markup_bps=st.integers(-9_900, 20_000),
)
extras = st.builds(
    Surcharges, tools=st.sampled_from(["", "plugins"]), predicted_tokens=st.integers(0, 10**5)
)
tokens = st.integers(0, 10**6)


class TestHold:
    @given(rates, tokens, st.integers(1, 10**6), st.integers(1, 8), extras)
    def test_no_usage_with_surcharges_costs_more_than_is_wanted(
        self, price, prompt, out, choices, extra
    ):
        found = estimate(
            [price], prompt_tokens=prompt, output_tokens=out, choices=choices, extra=extra
        )
        completion = (out + extra.predicted_tokens) * choices
        usage = Usage(prompt=prompt, completion=completion, tools=extra.tool_calls)
        assert price_nanos(usage, price) <= found.want_nanos
        assert found.least_nanos <= found.want_nanos

    @given(rates, tokens, st.integers(1, 10**6), st.integers(1, 8), extras, st.floats(0, 1))
    def test_what_a_hold_grants_costs_no_more_than_the_hold(
        self, price, prompt, out, choices, extra, part
    ):
        found = estimate(
            [price], prompt_tokens=prompt, output_tokens=out, choices=choices, extra=extra
        )
        granted = found.least_nanos + int((found.want_nanos - found.least_nanos) * part)
        allowed = granted_output_tokens(found, price, granted_nanos=granted)
        assert 0 < allowed <= out
        completion = (allowed + extra.predicted_tokens) * choices
        usage = Usage(prompt=prompt, completion=completion, tools=extra.tool_calls)
        assert price_nanos(usage, price) <= granted

    def test_ten_calls_are_held_for(self):
        extra = Surcharges(tools="plugins")
        found = estimate([PRICED], prompt_tokens=0, output_tokens=1, choices=1, extra=extra)
        assert found.least_nanos == TOOL_CALLS_MAX * 10**7 + 10_000
