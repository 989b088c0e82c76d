"""Counting what was delivered, and believing a provider only as far as it can be true."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.kit.money import NANOS
from paywalls.pricing import Rates, Usage, price_nanos
from providers.adapters.anthropic import Anthropic
from providers.adapters.openrouter import OpenRouter
from providers.tokens import count_tokens
from providers.types import Policy
from proxy.meter import Meter, texts
from tests.support.chats import COST, RATES, endpoint, terms


def event(text: str, **delta) -> bytes:
    choice = {"index": 0, "delta": {"content": text, **delta}, "finish_reason": None}
    return b"data: " + orjson.dumps({"choices": [choice]}) + b"\n\n"


def answer(**message) -> dict[str, object]:
    return {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}


def usage(prompt: int, completion: int, **more) -> dict[str, object]:
    return {"usage": {"prompt_tokens": prompt, "completion_tokens": completion, **more}}


class TestTexts:
    def test_everything_that_the_model_wrote_counts(self):
        call = {"id": "a", "function": {"name": "look", "arguments": '{"up":1}'}}
        said = answer(
            content="visible", refusal="no", reasoning_content="thinking", tool_calls=[call]
        )
        assert list(texts(said, set())) == ["visible", "no", "thinking", "look", '{"up":1}']

    def test_reasoning_that_is_said_twice_counts_once(self):
        said = answer(content=None, reasoning_content="a", reasoning="a")
        assert list(texts(said, set())) == ["a"]

    @pytest.mark.parametrize(
        "chunk",
        [
            {},
            {"choices": None},
            {"choices": "x"},
            {"choices": [7, {"delta": 7}, {"delta": {"content": {"a": 1}, "tool_calls": [3]}}]},
            {"choices": [{"delta": {"tool_calls": [{"function": 5}], "function_call": "x"}}]},
        ],
    )
    def test_other_forms_are_passed_over(self, chunk):
        assert list(texts(chunk, set())) == []

    def test_choices_that_ended_are_noted(self):
        ended: set[int] = set()
        choices = [{"index": 1, "finish_reason": "length"}, {"index": 0, "finish_reason": None}]
        list(texts({"choices": choices}, ended))
        assert ended == {1}


class TestTook:
    def test_an_honest_stream_is_never_cut_and_hardly_looked_at(self):
        meter = Meter(terms(output_tokens=2_000))
        assert not any(meter.took(event(" word")) for _ in range(2_000))
        assert meter._counted == 0

    def test_more_tokens_than_asked_for_are_noticed(self):
        meter = Meter(terms(output_tokens=100))
        until = next(number for number in range(1_000) if meter.took(event(" word")))
        assert 100 < until < 200

    def test_much_text_in_few_events_is_noticed(self):
        meter = Meter(terms(output_tokens=100))
        assert any(meter.took(event(" word" * 2_000)) for _ in range(20))

    def test_many_events_with_little_text_are_not_taken_for_tokens(self):
        meter = Meter(terms(output_tokens=50))
        assert not any(meter.took(event("")) for _ in range(500))

    @given(st.lists(st.integers(0, 12), max_size=40))
    async def test_looking_in_between_does_not_change_what_is_counted(self, words):
        once, often = Meter(terms()), Meter(terms())
        for count in words:
            once.took(event(" word" * count))
            often.took(event(" word" * count))
            often._count()
        assert once._count() == often._count() == sum(words)


class TestMeasure:
    async def test_a_charge_above_the_hold_is_the_ledgers_to_cut(self):
        """It writes off the rest, which nobody would see if it were cut here."""
        meter = Meter(terms(body_bytes=500))
        meter.took_answer(answer(content="x" * 90) | usage(100, 50), 400)
        expected = price_nanos(Usage(prompt=100, completion=50), RATES)
        assert (await meter.measure("completed")).charge_nanos == expected

    @pytest.mark.parametrize("status", ["client_gone", "truncated"])
    async def test_usage_that_came_before_the_end_is_used(self, status):
        meter = Meter(terms())
        meter.took(event("hello"))
        meter.report(usage(9, 5))
        found = await meter.measure(status)
        assert (found.source, found.usage) == ("provider", Usage(prompt=9, completion=5))

    async def test_more_than_was_delivered_is_not_believed(self):
        meter = Meter(terms())
        meter.took_answer(answer(content="hello") | usage(9, 4_000), 100)
        found = await meter.measure("completed")
        assert (found.source, found.usage.completion) == ("estimated", 1)

    @pytest.mark.parametrize(("last", "source"), [(5, "provider"), (-5, "estimated")])
    async def test_the_last_report_counts(self, last, source):
        meter = Meter(terms())
        meter.took(event("hello"))
        for completion in (1, -1, last):
            meter.report(usage(9, completion))
        found = await meter.measure("completed")
        assert found.source == source
        assert found.usage.completion == (5 if last > 0 else 1)

    async def test_hidden_reasoning_is_believed(self):
        details = {"completion_tokens_details": {"reasoning_tokens": 3_990}}
        meter = Meter(terms())
        meter.took_answer(answer(content="hello") | usage(9, 4_000, **details), 100)
        assert (await meter.measure("completed")).usage.completion == 4_000

    @pytest.mark.parametrize(("completion", "source"), [(4_000, "provider"), (9_000, "estimated")])
    async def test_thinking_that_is_counted_but_not_told_is_believed_up_to_the_bound(
        self, completion, source
    ):
        meter = Meter(terms(endpoint(adapter=Anthropic())))
        meter.took_answer(answer(content="hello") | usage(9, completion), 100)
        assert (await meter.measure("completed")).source == source

    async def test_tool_calls_alone_are_output(self):
        call = {"function": {"name": "look", "arguments": '{"up":1}'}}
        meter = Meter(terms())
        meter.took_answer(answer(content=None, tool_calls=[call]), 100)
        found = await meter.measure("completed")
        assert found.usage.completion == count_tokens('look{"up":1}', "model")
        assert found.charge_nanos > 0

    async def test_missing_usage_is_free_where_that_is_the_policy(self):
        meter = Meter(terms(endpoint(policy=Policy(usage_missing="free"))))
        meter.took_answer(answer(content="hello"), 100)
        found = await meter.measure("completed")
        assert (found.charge_nanos, found.policy) == (0, "usage_missing:free")

    async def test_a_failure_is_free_but_its_cost_is_known(self):
        meter = Meter(terms())
        meter.report(usage(9, 5))
        found = await meter.measure("failed")
        assert found.charge_nanos == 0
        assert found.provider_cost_nanos == price_nanos(Usage(prompt=9, completion=5), COST)

    async def test_a_cost_without_a_price_is_zero_and_not_a_crash(self):
        meter = Meter(terms(cost=None))
        meter.took_answer(answer(content="hello") | usage(9, 5), 100)
        found = await meter.measure("completed")
        assert found.provider_cost_nanos == 0
        assert found.charge_nanos == price_nanos(Usage(prompt=9, completion=5), RATES)

    async def test_what_the_provider_says_it_took_is_its_cost(self):
        meter = Meter(terms(endpoint(adapter=OpenRouter())))
        meter.took_answer(answer(content="hello") | usage(9, 5, cost=0.25), 100)
        assert (await meter.measure("completed")).provider_cost_nanos == 250_000_000

    async def test_costs_are_in_the_currency_of_the_paywall(self):
        meter = Meter(terms(usd_rate_nanos=NANOS * 9 // 10, cost=Rates(prompt=10**9)))
        meter.took_answer(answer(content="hello") | usage(9, 5), 100)
        assert (await meter.measure("completed")).provider_cost_nanos == 8_100
