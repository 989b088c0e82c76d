"""The life of a paid request, against a provider that really answers over a socket (F1 to F26)."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from config.kit import egress
from config.kit.money import parse_nanos
from paywalls.pricing import Rates, Usage, price_nanos
from providers.adapters.openai import OpenAI
from providers.types import Policy, Timeouts
from providers.upstream import Upstream
from proxy import delivery
from proxy.chat_errors import MaxCostExceededError
from proxy.errors import ModelNotAllowedError, ModelNotFoundError, ModelNotPricedError
from tests.fakes.upstream import FakeUpstream
from tests.support.chats import (
    RATES,
    TIMEOUTS,
    Client,
    Snapshot,
    Wall,
    endpoint,
    idempotency,
    model,
    request,
)

USAGE = Usage(prompt=9, completion=5)
CHARGE = price_nanos(USAGE, RATES)
COUNTED = 7
"""Tokens of the fake provider's words."""


@pytest.fixture
async def fake() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream() as running:
        yield running


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    client = Upstream(egress.policy(["127.0.0.0/8"]))
    yield client
    await client.close()


def wall_of(
    fake: FakeUpstream,
    upstream: Upstream,
    *,
    policy: Policy | None = None,
    timeouts: Timeouts = TIMEOUTS,
) -> Wall:
    at = endpoint(fake.url, policy=policy, timeouts=timeouts)
    return Wall(models=[model(at)], upstream=upstream)


@pytest.fixture
def wall(fake: FakeUpstream, upstream: Upstream) -> Wall:
    return wall_of(fake, upstream)


def with_usage(**more):
    return request(stream=True, stream_options={"include_usage": True}, **more)


class TestWhole:
    async def test_the_answer_passes_unchanged_and_the_charge_is_booked_before(self, wall, fake):
        client = Client()
        wall.gate.on_settle = lambda: client.messages.append({"type": "settled"})
        await wall.chat(client=client)
        assert [message["type"] for message in client.messages] == [
            "settled",
            "http.response.start",
            "http.response.body",
        ]
        client.messages.pop(0)
        assert client.status == 200
        assert client.json["choices"][0]["message"]["content"] == "Hello there, this is fake."
        assert wall.gate.bill.charge_nanos == CHARGE
        assert parse_nanos(client.headers["x-paywall-cost"]) == CHARGE
        assert client.headers["x-paywall-decision"] == "allowed"
        assert client.headers["x-paywall-balance"] == "9.999981"

    async def test_the_bill_has_the_facts(self, wall):
        await wall.chat(feature="search", run="run-1")
        bill = wall.gate.bill
        assert (bill.status, bill.policy, bill.usage_source) == (
            "completed",
            "completed:usage",
            "provider",
        )
        assert bill.usage == {"prompt": 9, "completion": 5}
        assert (bill.model, bill.feature, bill.run) == ("fake/model", "search", "run-1")
        assert bill.provider_cost_nanos == CHARGE // 2
        assert [attempt["status"] for attempt in bill.attempts] == [200]

    async def test_what_the_caller_sent_reaches_the_provider(self, wall, fake):
        body = request(tools=[{"type": "function"}], seed=7, unheard_of={"x": 1})
        await wall.chat(body)
        sent = fake.requests[0].json
        assert {name: sent[name] for name in ("tools", "seed", "unheard_of", "messages")} == {
            name: body[name] for name in ("tools", "seed", "unheard_of", "messages")
        }

    async def test_the_user_is_a_stable_pseudonym_of_the_paywall(self, wall, fake, upstream):
        await wall.chat()
        await wall.chat()
        await wall_of(fake, upstream).chat()
        first, again, elsewhere = (seen.json["user"] for seen in fake.requests)
        assert first == again != elsewhere
        assert "acme" not in first

    async def test_no_usage_is_counted(self, wall, fake):
        fake.behaviour = "no-usage"
        await wall.chat()
        bill = wall.gate.bill
        assert bill.usage_source == "estimated"
        assert bill.policy == "usage_missing:estimate"
        assert bill.usage["completion"] == COUNTED
        assert 8 <= bill.usage["prompt"] <= 14

    @pytest.mark.parametrize("behaviour", ["garbage", "other-form", "cut", "gzip"])
    async def test_an_answer_that_is_none_is_an_error_and_free(self, wall, fake, behaviour):
        fake.behaviour = behaviour
        client = await wall.chat()
        assert client.status == 502
        assert client.headers["x-should-retry"] == "false"
        assert wall.gate.bill.charge_nanos == 0
        assert wall.gate.bill.status == "failed"

    async def test_an_empty_answer_is_free(self, wall, fake):
        fake.behaviour = "empty"
        fake.usage = {"prompt_tokens": 9, "completion_tokens": 0, "total_tokens": 9}
        client = await wall.chat()
        assert client.status == 200
        assert (wall.gate.bill.charge_nanos, wall.gate.bill.policy) == (0, "zero_output:free")

    async def test_an_empty_answer_costs_its_prompt_where_that_is_the_policy(self, fake, upstream):
        wall = wall_of(fake, upstream, policy=Policy(zero_output="prompt"))
        fake.behaviour = "empty"
        fake.usage = {"prompt_tokens": 9, "completion_tokens": 0, "total_tokens": 9}
        await wall.chat()
        assert wall.gate.bill.charge_nanos == 9_000
        assert wall.gate.bill.policy == "zero_output:prompt"

    async def test_reported_zero_is_zero_and_not_missing(self, wall, fake):
        fake.usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
        await wall.chat()
        assert wall.gate.bill.charge_nanos == 0
        assert wall.gate.bill.usage_source == "provider"

    @pytest.mark.parametrize(
        "usage",
        [
            {"prompt_tokens": -1, "completion_tokens": 5},
            {"prompt_tokens": 9.5, "completion_tokens": 5},
            {"prompt_tokens": "9", "completion_tokens": 5},
            {"prompt_tokens": 9, "completion_tokens": 2**63},
            {"prompt_tokens": 9, "completion_tokens": 5_000},
            {"prompt_tokens": 10**6, "completion_tokens": 5},
            {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 99}},
            None,
            "many",
        ],
    )  # fmt: skip
    async def test_usage_that_cannot_be_true_is_counted_instead(self, wall, fake, usage):
        fake.usage = usage
        await wall.chat()
        bill = wall.gate.bill
        assert bill.usage_source == "estimated"
        assert bill.usage["completion"] == COUNTED
        assert 0 < bill.charge_nanos < wall.gate.asks[0].want_nanos

    async def test_details_are_priced_once(self, wall, fake):
        wall.snapshot.rates = replace(RATES, cached=100_000_000, reasoning=3_000_000_000)
        fake.usage = {
            "prompt_tokens": 50,
            "completion_tokens": 40,
            "prompt_tokens_details": {"cached_tokens": 30},
            "completion_tokens_details": {"reasoning_tokens": 25},
        }
        await wall.chat(request(n=3))
        assert wall.gate.bill.charge_nanos == 20 * 1_000 + 30 * 100 + 15 * 2_000 + 25 * 3_000


class TestStream:
    async def test_passes_events_and_hides_usage_that_was_not_asked_for(self, wall, fake):
        client = await wall.chat(request(stream=True))
        assert client.status == 200
        assert client.headers["content-type"].startswith("text/event-stream")
        assert client.text == "Hello there, this is fake."
        assert client.events[-1] == "[DONE]"
        assert not any("usage" in event for event in client.events[:-1])
        assert client.is_complete
        assert wall.gate.bill.charge_nanos == CHARGE
        assert fake.requests[0].json["stream_options"] == {"include_usage": True}

    async def test_the_charge_is_booked_before_done(self, wall, fake):
        client = Client()
        wall.gate.on_settle = lambda: client.messages.append(
            {"type": "http.response.body", "body": b"SETTLED", "more_body": True}
        )
        await wall.chat(request(stream=True), client=client)
        assert client.body.index(b"SETTLED") < client.body.index(b"[DONE]")

    async def test_usage_that_was_asked_for_carries_the_exact_cost(self, wall):
        client = await wall.chat(with_usage())
        *_, usage, done = client.events
        assert done == "[DONE]"
        assert usage["choices"] == []
        assert usage["usage"]["prompt_tokens"] == 9
        assert b'"cost":0.000019}' in client.body
        assert CHARGE == 19_000

    async def test_usage_that_was_asked_for_comes_even_where_the_provider_sends_none(
        self, wall, fake
    ):
        fake.behaviour = "no-usage"
        client = await wall.chat(with_usage())
        usage = client.events[-2]["usage"]
        assert usage["completion_tokens"] == COUNTED
        assert usage["total_tokens"] == usage["prompt_tokens"] + COUNTED
        assert wall.gate.bill.usage_source == "estimated"

    @pytest.mark.parametrize("behaviour", ["bytewise", "crlf", "garbage", "close-framed"])
    async def test_odd_framing_changes_nothing(self, wall, fake, behaviour):
        fake.behaviour = behaviour
        client = await wall.chat(request(stream=True))
        assert client.text == "Hello there, this is fake."
        assert client.events[-1] == "[DONE]"
        assert wall.gate.bill.charge_nanos == CHARGE

    async def test_garbage_is_dropped_and_counted(self, wall, fake):
        fake.behaviour = "garbage"
        client = await wall.chat(request(stream=True))
        assert b"%%%" not in client.body
        assert b"broken" not in client.body
        assert wall.gate.bill.attempts[0]["garbage_lines"] == 3

    async def test_json_for_a_stream_is_passed_as_json_and_billed_once(self, wall, fake):
        fake.behaviour = "other-form"
        client = await wall.chat(request(stream=True))
        assert client.headers["content-type"] == "application/json"
        assert client.json["choices"][0]["message"]["content"].startswith("Hello")
        assert wall.gate.bill.charge_nanos == CHARGE

    @pytest.mark.parametrize("behaviour", ["cut", "eof", "hang"])
    async def test_a_stream_that_breaks_off_is_never_dressed_up(self, fake, upstream, behaviour):
        fake.behaviour = behaviour
        wall = wall_of(fake, upstream, timeouts=replace(TIMEOUTS, idle_s=0.1))
        client = await wall.chat(request(stream=True))
        assert b"[DONE]" not in client.body
        assert b'"finish_reason":"stop"' not in client.body
        assert client.events[-1]["error"]["code"] in ("upstream_error", "upstream_timeout")
        assert b"event: error\n" in client.body
        assert client.is_complete
        bill = wall.gate.bill
        assert (bill.status, bill.policy) == ("truncated", "upstream_error:delivered")
        assert bill.usage_source == "estimated"
        assert bill.usage["completion"] == len(["Hello", " there", ",", " this"])

    async def test_what_was_delivered_is_free_where_that_is_the_policy(self, fake, upstream):
        fake.behaviour = "cut"
        wall = wall_of(fake, upstream, policy=Policy(upstream_error="free"))
        await wall.chat(request(stream=True))
        bill = wall.gate.bill
        assert (bill.charge_nanos, bill.policy) == (0, "upstream_error:free")

    async def test_an_error_event_is_told_and_never_counted(self, wall, fake):
        fake.behaviour = "error-event"
        client = await wall.chat(request(stream=True))
        assert "error" in client.events[-1]
        assert b"https://h/x" not in client.body
        assert b"[DONE]" not in client.body
        assert wall.gate.bill.usage["completion"] == 3
        assert wall.gate.bill.status == "truncated"

    async def test_nothing_delivered_is_an_ordinary_error_and_free(self, fake, upstream):
        fake.behaviour = "stall"
        wall = wall_of(fake, upstream, timeouts=replace(TIMEOUTS, idle_s=0.1))
        client = await wall.chat(request(stream=True))
        assert client.status == 504
        assert client.json["error"]["code"] == "upstream_timeout"
        assert (wall.gate.bill.status, wall.gate.bill.charge_nanos) == ("failed", 0)

    async def test_an_event_without_end_is_cut_off(self, wall, fake):
        fake.behaviour = "huge-line"
        client = await wall.chat(request(stream=True))
        assert client.status == 502
        assert wall.gate.bill.charge_nanos == 0

    async def test_a_provider_that_ignores_its_limit_is_cut_at_the_hold(self, wall, fake):
        fake.behaviour = "ignores-max"
        fake.words = [" word"] * 400
        client = await wall.chat(request(stream=True, max_tokens=20))
        assert client.events[-1]["error"]["code"] == "budget_exhausted"
        # What arrives in one piece is passed in one piece, so the cut is not exact.
        assert 20 <= client.text.count("word") < 2_000
        bill = wall.gate.bill
        assert bill.status == "truncated"
        assert bill.charge_nanos <= wall.gate.asks[0].want_nanos

    async def test_an_honest_stream_at_its_limit_is_not_cut(self, wall, fake):
        fake.words = [" word"] * 60
        fake.usage = {"prompt_tokens": 9, "completion_tokens": 60, "total_tokens": 69}
        client = await wall.chat(request(stream=True, max_tokens=60))
        assert client.events[-1] == "[DONE]"
        assert client.text.count("word") == 60

    async def test_the_total_limit_ends_a_stream_that_nobody_reads(self, fake, upstream):
        wall = wall_of(fake, upstream, timeouts=replace(TIMEOUTS, total_s=0.2))
        client = Client(slow=True)
        running = asyncio.create_task(wall.chat(request(stream=True), client=client))
        async with asyncio.timeout(2):
            await wall.gate.booked.wait()
        assert wall.gate.bill.status == "truncated"
        assert wall.gate.bill.error_code == "request_too_slow"
        client.gone.set()
        await running


class TestClientLeaves:
    async def chat_and_leave(self, wall: Wall, fake: FakeUpstream, words: int, **more) -> Client:
        fake.behaviour = "gated"
        client = Client()
        running = asyncio.create_task(wall.chat(request(stream=True), client=client, **more))
        await fake.wait_requests()
        fake.release(words)
        if words:
            await client.wait_events(words)
        client.gone.set()
        await running
        return client

    async def test_after_some_chunks_the_provider_is_closed_and_those_are_charged(self, wall, fake):
        await self.chat_and_leave(wall, fake, 4)
        await fake.wait_closed()
        bill = wall.gate.bill
        assert (bill.status, bill.policy) == ("client_gone", "client_gone:estimate")
        assert bill.usage["completion"] == 4
        assert bill.usage["prompt"] > 0
        assert bill.http_status == 499

    async def test_before_anything_came_it_is_free(self, wall, fake):
        await self.chat_and_leave(wall, fake, 0)
        await fake.wait_closed()
        assert (wall.gate.bill.status, wall.gate.bill.charge_nanos) == ("client_gone", 0)

    async def test_it_is_free_where_that_is_the_policy(self, fake, upstream):
        wall = wall_of(fake, upstream, policy=Policy(client_gone="free"))
        await self.chat_and_leave(wall, fake, 4)
        assert (wall.gate.bill.charge_nanos, wall.gate.bill.policy) == (0, "client_gone:free")

    async def test_where_the_policy_is_to_drain_all_is_read_and_charged(self, fake, upstream):
        wall = wall_of(fake, upstream, policy=Policy(client_gone="drain"))
        fake.behaviour = "gated"
        client = Client()
        running = asyncio.create_task(wall.chat(request(stream=True), client=client))
        await fake.wait_requests()
        fake.release(4)
        await client.wait_events(1)
        client.gone.set()
        await asyncio.sleep(0)
        fake.release(20)
        await running
        bill = wall.gate.bill
        assert (bill.status, bill.policy) == ("client_gone", "client_gone:drain")
        assert bill.charge_nanos == CHARGE
        assert bill.usage_source == "provider"
        assert not delivery._draining

    async def test_over_the_most_drains_it_is_an_estimate(self, fake, upstream, monkeypatch):
        monkeypatch.setattr(delivery, "DRAINS_MAX", 0)
        wall = wall_of(fake, upstream, policy=Policy(client_gone="drain"))
        await self.chat_and_leave(wall, fake, 4)
        await fake.wait_closed()
        assert wall.gate.bill.status == "client_gone"
        assert wall.gate.bill.usage_source == "estimated"
        assert wall.gate.bill.charge_nanos > 0

    async def test_while_a_whole_answer_is_awaited_it_is_free(self, wall, fake):
        fake.behaviour = "gated"
        client = Client()
        running = asyncio.create_task(wall.chat(client=client))
        await fake.wait_requests()
        client.gone.set()
        await running
        await fake.wait_closed()
        assert wall.gate.bill.charge_nanos == 0

    async def test_between_the_last_chunk_and_the_booking_there_is_one_charge(self, wall):
        client = Client()
        wall.gate.on_settle = client.gone.set
        await wall.chat(request(stream=True), client=client)
        assert wall.gate.bill.charge_nanos == CHARGE

    @pytest.mark.parametrize("words", [0, 3])
    async def test_a_cancelled_request_is_booked_all_the_same(self, wall, fake, words):
        fake.behaviour = "gated"
        client = Client()
        running = asyncio.create_task(wall.chat(request(stream=True), client=client))
        await fake.wait_requests()
        fake.release(words)
        if words:
            await client.wait_events(1)
        running.cancel()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await wall.gate.drained()
        await fake.wait_closed()
        assert wall.gate.bill.charge_nanos > 0 or not words
        assert wall.gate.bill.status == ("truncated" if words else "failed")

    @pytest.mark.parametrize("stream", [False, True])
    async def test_a_request_cancelled_while_it_is_booked_is_booked_whole(self, wall, stream):
        wall.gate.may_settle.clear()
        client = Client()
        running = asyncio.create_task(wall.chat(request(stream=stream), client=client))
        await wall.gate.is_settling.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        wall.gate.may_settle.set()
        await wall.gate.drained()
        assert (wall.gate.bill.status, wall.gate.bill.charge_nanos) == ("completed", CHARGE)
        assert not client.is_complete


class TestProviderTrouble:
    @pytest.mark.parametrize(
        ("behaviour", "status", "code"),
        [
            ("400", 400, "fake_code"),
            ("401", 502, "provider_auth"),
            ("404", 404, "fake_code"),
            ("429", 429, "upstream_rate_limited"),
            ("500", 502, "upstream_error"),
            ("503", 502, "upstream_error"),
            ("redirect", 502, "upstream_error"),
            ("not-http", 502, "upstream_error"),
        ],
    )
    @pytest.mark.parametrize("stream", [False, True])
    async def test_is_told_scrubbed_and_free(self, wall, fake, behaviour, status, code, stream):
        fake.behaviour = behaviour
        client = await wall.chat(request(stream=stream))
        assert client.status == status
        assert client.json["error"]["code"] == code
        assert b"secretsecret" not in client.body
        assert b"internal" not in client.body
        assert (wall.gate.bill.status, wall.gate.bill.charge_nanos) == ("failed", 0)
        assert wall.gate.bill.http_status == status
        assert not wall.gate.holds

    async def test_retry_after_is_passed_on(self, wall, fake):
        fake.behaviour = "429"
        client = await wall.chat()
        assert client.headers["retry-after"] == "7"
        assert "x-should-retry" not in client.headers

    async def test_silence_is_504_and_the_connection_is_closed(self, fake, upstream):
        fake.behaviour = "silent"
        wall = wall_of(fake, upstream, timeouts=replace(TIMEOUTS, first_byte_s=0.1))
        client = await wall.chat()
        assert client.status == 504
        await fake.wait_closed()

    async def test_a_developer_is_told_when_the_key_is_refused(self, wall, fake):
        fake.behaviour = "401"
        await wall.chat()
        assert wall.gate.bill.attempts[0]["trouble"].startswith("401")

    async def test_graceful_paywalls_say_it_as_the_assistant(self, wall, fake):
        fake.behaviour = "500"
        wall.settings["graceful"] = True
        client = await wall.chat()
        assert client.status == 200
        assert client.json["paywall"]["status"] == "model_unavailable"
        assert wall.gate.bill.charge_nanos == 0

    async def test_graceful_paywalls_still_tell_callers_their_own_mistakes(self, wall, fake):
        fake.behaviour = "400"
        wall.settings["graceful"] = True
        assert (await wall.chat()).status == 400


class TestFallback:
    @pytest.fixture
    async def second(self) -> AsyncIterator[FakeUpstream]:
        async with FakeUpstream(words=["second"]) as running:
            yield running

    @pytest.fixture
    def both(self, fake, second, upstream) -> Wall:
        models = [
            model(endpoint(fake.url, name="first", timeouts=replace(TIMEOUTS, first_byte_s=0.2))),
            model(endpoint(second.url, name="second")),
        ]
        return Wall(models=models, upstream=upstream)

    @pytest.mark.parametrize("behaviour", ["500", "503", "429", "silent", "stall", "not-http"])
    @pytest.mark.parametrize("stream", [False, True])
    async def test_before_the_first_byte_the_next_one_is_asked(
        self, both, fake, second, behaviour, stream
    ):
        both.models[0] = replace(
            both.models[0],
            endpoint=replace(
                both.models[0].endpoint, timeouts=replace(TIMEOUTS, first_byte_s=0.1, idle_s=0.1)
            ),
        )
        fake.behaviour = behaviour
        client = await both.chat(request(stream=stream))
        assert client.status == 200
        assert b"second" in client.body
        bill = both.gate.bill
        assert bill.model == "second/model"
        assert bill.charge_nanos == CHARGE
        assert len(bill.attempts) == 2
        assert bill.attempts[0]["error"]

    async def test_after_the_first_byte_nobody_else_is_asked(self, both, fake, second):
        fake.behaviour = "cut"
        client = await both.chat(request(stream=True))
        assert not second.requests
        assert "error" in client.events[-1]
        assert both.gate.bill.model == "first/model"

    @pytest.mark.parametrize("behaviour", ["400", "401"])
    async def test_what_another_provider_would_not_help_with_is_told_at_once(
        self, both, fake, second, behaviour
    ):
        fake.behaviour = behaviour
        await both.chat()
        assert not second.requests

    async def test_attempts_are_bounded(self, fake, upstream):
        fake.behaviour = "500"
        models = [model(endpoint(fake.url, name=f"c{number}")) for number in range(9)]
        await Wall(models=models, upstream=upstream).chat()
        assert len(fake.requests) == 3

    async def test_the_price_is_that_of_the_provider_that_answered(self, both, fake):
        fake.behaviour = "500"
        dearer = Rates(prompt=5_000_000_000, completion=7_000_000_000)
        both.snapshot = Snapshot(by_model={"second/model": dearer})
        await both.chat()
        assert both.gate.bill.charge_nanos == price_nanos(USAGE, dearer)

    async def test_one_that_the_hold_does_not_pay_for_is_left_out(self, both, fake, second):
        fake.behaviour = "500"
        dearer = Rates(prompt=5_000_000_000_000, completion=7_000_000_000_000)
        both.snapshot = Snapshot(by_model={"second/model": dearer})
        both.gate.balance = 10_000_000
        client = await both.chat()
        assert client.status == 502
        assert not second.requests


class TestHold:
    async def test_the_limit_sent_is_what_the_hold_pays_for(self, wall, fake):
        wall.gate.balance = 1_000_000
        await wall.chat(request(max_tokens=4_000))
        sent, ask = fake.requests[0].json["max_tokens"], wall.gate.asks[0]
        assert ask.least_nanos <= 1_000_000 < ask.want_nanos
        assert 16 <= sent < 500
        assert fake.requests[0].json.get("max_completion_tokens") is None

    async def test_the_limit_is_written_where_the_caller_wrote_it(self, wall, fake):
        await wall.chat(request(max_completion_tokens=40))
        await wall.chat(request())
        assert fake.requests[0].json["max_completion_tokens"] == 40
        assert "max_tokens" not in fake.requests[0].json
        assert fake.requests[1].json["max_tokens"] == 4_096

    async def test_the_limit_is_called_what_the_provider_calls_it(self, fake, upstream):
        models = [model(endpoint(fake.url, adapter=OpenAI()), output_tokens_max=900)]
        await Wall(models=models, upstream=upstream).chat()
        assert fake.requests[0].json["max_completion_tokens"] == 900

    async def test_every_choice_is_held_for(self, wall):
        await wall.chat(request(max_tokens=100))
        await wall.chat(request(max_tokens=100, n=3))
        one, three = (ask.want_nanos for ask in wall.gate.asks)
        assert three - one > 2 * 100 * 2_000 - 1

    async def test_a_prompt_is_counted_only_where_its_bytes_do_not_fit(self, wall, fake):
        long = request(messages=[{"role": "user", "content": "hello " * 500}], max_tokens=16)
        wall.gate.balance = 1_000_000
        await wall.chat(long)
        first, second = wall.gate.asks
        assert second.least_nanos < wall.gate.balance + wall.gate.bill.charge_nanos
        assert second.least_nanos < first.least_nanos
        assert len(fake.requests) == 1

    async def test_a_limit_on_output_clamps(self, wall, fake):
        wall.settings["user_caps"] = {"output_tokens": 30}
        wall.key_settings["caps"] = {"output_tokens": 20}
        await wall.chat(request(max_tokens=100))
        assert fake.requests[0].json["max_tokens"] == 20

    async def test_a_limit_on_the_prompt_refuses(self, wall, fake):
        wall.settings["paywall_caps"] = {"prompt_tokens": 5}
        client = await wall.chat()
        assert client.status == 429
        assert client.json["error"]["code"] == "token_limit"
        assert client.headers["x-should-retry"] == "false"
        assert not wall.gate.asks

    async def test_a_limit_on_the_prompt_is_held_against_tokens_not_bytes(self, wall):
        wall.settings["paywall_caps"] = {"prompt_tokens": 60}
        assert (await wall.chat()).status == 200

    async def test_max_cost_bounds_the_hold_and_the_answer(self, wall, fake):
        await wall.chat(request(max_tokens=4_000), max_cost_nanos=1_000_000)
        assert wall.gate.asks[0].want_nanos == 1_000_000
        assert fake.requests[0].json["max_tokens"] < 500

    async def test_max_cost_below_the_shortest_answer_is_refused(self, wall, fake):
        with pytest.raises(MaxCostExceededError):
            await wall.chat(max_cost_nanos=10)
        assert not wall.gate.asks

    async def test_a_free_trial_request_keeps_its_limits_and_costs_nothing(self, wall, fake):
        wall.gate.trial = True
        wall.gate.balance = 1_000_000
        client = await wall.chat(request(max_tokens=4_000))
        assert fake.requests[0].json["max_tokens"] == 4_000
        assert wall.gate.bill.charge_nanos == 0
        assert wall.gate.bill.usage == {"prompt": 9, "completion": 5}
        assert client.headers["x-paywall-cost"] == "0"

    async def test_the_hold_knows_what_the_reaper_needs(self, wall):
        await wall.chat(feature="f", run="r", idempotency=idempotency())
        ask = wall.gate.asks[0]
        assert ask.facts["model"] == "fake/model"
        assert {"connection", "rate", "feature", "run", "streamed", "started_at"} <= set(ask.facts)
        assert ask.idempotency_key == b"d" * 32

    async def test_progress_tells_what_was_delivered_so_far(self, wall, fake):
        fake.behaviour = "gated"
        client = Client()
        running = asyncio.create_task(wall.chat(request(stream=True), client=client))
        await fake.wait_requests()
        progress = next(iter(wall.gate.progress.values()))
        assert not progress().delivered
        assert progress().charge_nanos == 0
        fake.release(4)
        await client.wait_events(4)
        now = progress()
        assert now.delivered
        assert now.usage["completion"] == 4
        assert 0 < now.charge_nanos <= wall.gate.asks[0].want_nanos
        fake.release(20)
        await running


class TestBooksAway:
    async def test_a_stream_ends_without_done(self, wall):
        wall.gate.away = True
        client = await wall.chat(request(stream=True))
        assert b"[DONE]" not in client.body
        assert client.events[-1]["error"]["code"] == "platform_unavailable"
        assert client.is_complete

    async def test_a_whole_answer_is_withheld(self, wall):
        wall.gate.away = True
        client = await wall.chat()
        assert client.status == 503
        assert client.headers["x-should-retry"] == "false"
        assert b"fake." not in client.body


class TestRouting:
    async def test_an_unknown_model_is_not_found(self, wall):
        with pytest.raises(ModelNotFoundError):
            await wall.chat(request("nothing"))

    async def test_an_unpriced_model_is_refused(self, wall):
        wall.snapshot.rates = None
        with pytest.raises(ModelNotPricedError):
            await wall.chat()

    @pytest.mark.parametrize("where", ["settings", "key_settings"])
    async def test_a_model_that_is_not_allowed_is_refused(self, wall, where):
        getattr(wall, where)["allowed_models"] = ("other",)
        with pytest.raises(ModelNotAllowedError):
            await wall.chat()

    @pytest.mark.parametrize("name", ["model", "fake/model", "fast"])
    async def test_lists_may_name_a_model_as_callers_do(self, wall, name):
        wall.settings |= {"allowed_models": (name,), "aliases": {"fast": "fake/model"}}
        assert (await wall.chat(request("fast"))).status == 200

    async def test_graceful_paywalls_say_that_a_model_is_not_allowed(self, wall):
        wall.settings |= {"allowed_models": ("other",), "graceful": True}
        client = await wall.chat(request(stream=True))
        assert client.status == 200
        assert client.events[0]["paywall"]["reason"] == "model_not_allowed"


class TestKeptAnswers:
    @pytest.mark.parametrize("stream", [False, True])
    async def test_what_was_delivered_is_kept_where_the_owner_agreed(self, wall, stream):
        wall.settings["store_answers"] = True
        client = await wall.chat(request(stream=stream), idempotency=idempotency())
        [(body, content_type)] = wall.reads.answers.values()
        assert body == client.body
        assert content_type == client.headers["content-type"]

    async def test_nothing_is_kept_otherwise(self, wall):
        await wall.chat(idempotency=idempotency())
        wall.settings["store_answers"] = True
        await wall.chat()
        assert not wall.reads.answers
