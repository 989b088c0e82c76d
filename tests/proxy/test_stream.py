"""Streams: whole ones, broken ones, and clients that leave (F1 to F3, F8 to F15, F22 to F26)."""

import asyncio
from dataclasses import replace

import pytest

from paywalls.pricing import Usage, price_nanos
from providers.types import Policy
from proxy import delivery
from proxy.watch import LOOK_S
from tests.fakes.upstream import FakeUpstream
from tests.support.chats import (
    RATES,
    TIMEOUTS,
    Client,
    Wall,
    request,
    wall_of,
)
from tests.support.patience import PATIENCE_S

USAGE = Usage(prompt=9, completion=5)
CHARGE = price_nanos(USAGE, RATES)
COUNTED = 7
"""Tokens of the fake provider's words."""


def with_usage(**more):
    return request(stream=True, stream_options={"include_usage": True}, **more)


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
        paid = 10**10 - wall.gate.balance
        assert paid == min(bill.charge_nanos, wall.gate.asks[0].want_nanos)

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
        async with asyncio.timeout(PATIENCE_S):
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
        await asyncio.sleep(2 * LOOK_S)
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
        bill = wall.gate.bill
        assert (bill.status, bill.policy) == ("client_gone", "client_gone:estimate")
        assert bill.usage_source == "estimated"
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
