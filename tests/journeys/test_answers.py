"""What providers may answer besides a stream, on the running product: F4 to F7 and F16 to F21."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from providers.models import Connection, Model
from tests.fakes.upstream import FakeUpstream
from tests.support.asks import chat, chunk, event, looked_up, said
from tests.support.memory import Growth
from tests.support.product import (
    CHARGE,
    MODEL,
    UNIT,
    Shop,
    Wallet,
    is_price_of,
    make_shop,
    sell,
)
from tests.support.streams import until

DONE = b"data: [DONE]\n\n"
GROWTH_MOST = 50 * 1024 * 1024
FREE_S = 5
COUNTED = 7


@pytest.fixture
def user(shop: Shop) -> str:
    return shop.funded()


@pytest.fixture
async def second() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(words=["second"]) as running:
        yield running


def assert_free(shop: Shop, user: str) -> None:
    assert shop.wallet(user) == Wallet(UNIT, 0)
    assert {charged for _, _, charged in shop.ends()} == {0}


class TestTrouble:
    @pytest.mark.proves("F4")
    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("behaviour", ["500", "503"])
    async def test_a_failure_is_tried_elsewhere_a_few_times_and_free(
        self, shop, http, fake, user, behaviour, stream
    ):
        fake.behaviour = behaviour
        for name in ("b", "c", "d", "e"):
            await sync_to_async(sell)(shop.paywall, fake.url, name=name, models=[MODEL])
        answer = await chat(http, shop, user, stream=stream)
        assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_error")
        assert "secret_host" not in answer.text
        assert len(fake.requests) == 3
        assert_free(shop, user)

    @pytest.mark.proves("F5")
    async def test_a_provider_that_asks_to_wait(self, shop, http, user):
        answer = await chat(http, shop, user, "fake-429")
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
        assert answer.json()["error"]["code"] == "upstream_rate_limited"
        assert_free(shop, user)

    @pytest.mark.proves("F6")
    async def test_a_refused_key_is_the_developers_to_know(self, shop, http, user):
        answer = await chat(http, shop, user, "fake-401")
        assert (answer.status_code, answer.json()["error"]["code"]) == (502, "provider_auth")
        assert "Incorrect" not in answer.text
        assert "sk-" not in answer.text
        assert_free(shop, user)
        await until(lambda: bool(self.trouble(shop)))
        trouble = await sync_to_async(self.trouble)(shop)
        assert trouble.startswith("401: Incorrect API key")
        assert "sk-" not in trouble

    def trouble(self, shop: Shop) -> str:
        return Connection.objects.get(paywall=shop.paywall).trouble

    @pytest.mark.proves("F7")
    @pytest.mark.parametrize("stream", [False, True])
    async def test_silence_ends_in_time_and_the_connection_with_it(
        self, product, http, fake, aftermath, stream
    ):
        shop = await sync_to_async(make_shop)(product, fake.url, timeouts={"first_byte_s": 0.3})
        user = await sync_to_async(shop.funded)()
        async with asyncio.timeout(FREE_S):
            answer = await chat(http, shop, user, "fake-silent", stream=stream)
        assert (answer.status_code, answer.json()["error"]["code"]) == (504, "upstream_timeout")
        assert answer.headers["x-should-retry"] == "false"
        await fake.wait_closed()
        assert_free(shop, user)


class TestFloods:
    @pytest.mark.slow
    @pytest.mark.proves("F16")
    @pytest.mark.parametrize(
        ("behaviour", "stream"),
        [
            ("gzip-bomb", False),
            ("gzip-bomb", True),
            ("flood", False),
            ("flood", True),
            ("huge-headers", False),
            ("brackets", False),
        ],
    )
    async def test_they_end_in_bounded_memory_and_cost_nothing(
        self, shop, http, user, behaviour, stream
    ):
        assert (await chat(http, shop, user)).status_code == 200
        left = shop.wallet(user)
        async with Growth(shop.server.child.process.pid) as growth:
            answer = await chat(http, shop, user, f"fake-{behaviour}", stream=stream)
        assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_error")
        assert growth.most < GROWTH_MOST
        assert shop.wallet(user) == left

    @pytest.mark.slow
    @pytest.mark.proves("F16")
    async def test_one_event_that_is_a_bomb_is_not_looked_into(self, product, shop, http, user):
        assert (await chat(http, shop, user)).status_code == 200
        left = shop.wallet(user)
        async with Growth(product.child.process.pid) as growth:
            await chat(http, shop, user, "fake-brackets", stream=True)
        assert growth.most < GROWTH_MOST
        assert shop.wallet(user) == left

    @pytest.mark.slow
    @pytest.mark.proves("F16")
    async def test_a_flood_of_events_ends_too(self, product, shop, http, user):
        assert (await chat(http, shop, user)).status_code == 200
        async with Growth(product.child.process.pid) as growth:
            answer = await chat(http, shop, user, "fake-flood-of-events", stream=True)
        assert said(answer)[-1]["error"]["code"] in ("upstream_error", "budget_exhausted")
        assert growth.most < GROWTH_MOST


class TestShapes:
    @pytest.mark.proves("F17")
    async def test_json_for_a_stream_is_a_whole_answer_paid_once(self, shop, http, user):
        answer = await chat(http, shop, user, "fake-other-form", stream=True)
        assert answer.headers["content-type"] == "application/json"
        assert answer.json()["choices"][0]["message"]["content"] == "Hello there, this is fake."
        assert shop.ends() == [("completed", "completed:usage", CHARGE)]
        assert shop.wallet(user) == Wallet(UNIT - CHARGE, 0)

    @pytest.mark.proves("F17")
    async def test_a_stream_for_json_is_refused_and_free(self, shop, http, user):
        answer = await chat(http, shop, user, "fake-other-form")
        assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_error")
        assert answer.headers["x-should-retry"] == "false"
        assert_free(shop, user)

    @pytest.mark.proves("F20")
    @pytest.mark.parametrize("stream", [False, True])
    async def test_a_redirect_is_not_followed(self, shop, http, fake, user, stream):
        async with FakeUpstream(host="127.0.0.2") as inside:
            fake.script = [
                b"HTTP/1.1 302 X\r\nSet-Cookie: a=b\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n"
                % f"{inside.url}/chat/completions".encode()
            ]
            answer = await chat(http, shop, user, "fake-raw", stream=stream)
            assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_error")
            assert inside.connections == 0
        assert {"set-cookie", "location"}.isdisjoint(answer.headers)
        assert_free(shop, user)

    @pytest.mark.proves("F20")
    @pytest.mark.parametrize("stream", [False, True])
    async def test_a_providers_headers_are_its_own(self, shop, http, fake, user, stream):
        fake.headers = {
            "Set-Cookie": "a=b",
            "Access-Control-Allow-Origin": "*",
            "Proxy-Authenticate": "Basic",
            "X-Should-Retry": "true",
            "X-Paywall-Cost": "0",
            "X-Request-Id": "theirs",
            "Server": "theirs",
        }
        answer = await chat(http, shop, user, stream=stream)
        assert answer.status_code == 200
        assert "theirs" not in str(answer.headers)
        assert {
            "set-cookie",
            "access-control-allow-origin",
            "proxy-authenticate",
            "x-should-retry",
        }.isdisjoint(answer.headers)
        assert answer.headers.get("x-paywall-cost") != "0"


class TestUsage:
    @pytest.mark.proves("F18")
    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize(
        "usage",
        [
            {"prompt_tokens": -1, "completion_tokens": 5},
            {"prompt_tokens": 9.5, "completion_tokens": 5},
            {"prompt_tokens": "9", "completion_tokens": 5},
            {"prompt_tokens": 9, "completion_tokens": 2**63},
            {"prompt_tokens": 2**63, "completion_tokens": 5},
            {"prompt_tokens": 9, "completion_tokens": 5_000},
            {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 99}},
            {"prompt_tokens": 9, "completion_tokens": 5, "prompt_tokens_details": 7},
            None,
        ],
        ids=str,
    )
    async def test_what_cannot_be_true_is_counted_here(self, shop, http, fake, user, usage, stream):
        fake.usage, log = usage, shop.server.child.log
        seen = log.stat().st_size
        answer = await chat(http, shop, user, stream=stream)
        assert answer.status_code == 200
        found = await looked_up(http, shop, answer)
        assert found["usageSource"] == "estimated"
        assert found["usage"]["completion"] == COUNTED
        assert is_price_of(found["cost"], output=COUNTED)
        assert shop.wallet(user) == Wallet(UNIT - found["cost"], 0)
        is_told = b"usage that cannot be true" in log.read_bytes()[seen:]
        assert is_told == (usage is not None)


@dataclass
class Golden:
    """One row of the table. charge: by hand, in nanos; see RATES."""

    usage: dict[str, Any]
    charge: int
    events: list[bytes] = field(default_factory=lambda: [chunk("Hello", finish="stop")])
    asked: dict[str, Any] = field(default_factory=dict)


RATES = {
    "prompt": 1_000_000_000,
    "completion": 2_000_000_000,
    "cached": 100_000_000,
    "cache_write": 1_250_000_000,
    "reasoning": 3_000_000_000,
    "audio_prompt": 4_000_000_000,
    "audio_completion": 8_000_000_000,
}
"""1,000, 2,000, 100, 1,250, 3,000, 4,000 and 8,000 nanos for a token; then 20 % more."""


def usage_of(prompt: int, completion: int, **parts: int) -> dict[str, Any]:
    of_prompt = {name: parts[name] for name in ("cached_tokens", "cache_write_tokens")
                 if name in parts}  # fmt: skip
    of_completion = {name: parts[name] for name in ("reasoning_tokens",) if name in parts}
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": of_prompt | {"audio_tokens": parts.get("audio_in", 0)},
        "completion_tokens_details": of_completion | {"audio_tokens": parts.get("audio_out", 0)},
    }


CALL = {"index": 0, "id": "c", "function": {"name": "find", "arguments": '{"q": "x"}'}}
GOLDEN = {
    "plain": Golden(usage_of(20, 5), 36_000),
    "cached once, at its rate": Golden(usage_of(20, 5, cached_tokens=12), 23_040),
    "written to a cache": Golden(usage_of(20, 5, cache_write_tokens=10), 39_000),
    "reasoning inside completion": Golden(usage_of(20, 5, reasoning_tokens=3), 39_600),
    "audio both ways": Golden(usage_of(20, 5, audio_in=10, audio_out=2), 86_400),
    "three choices": Golden(
        usage_of(20, 15),
        60_000,
        [
            event(choices=[{"index": n, "delta": {"content": "a b c"}, "finish_reason": "stop"}])
            for n in range(3)
        ],
        {"n": 3},
    ),
    "tool calls alone": Golden(
        usage_of(20, 8), 43_200, [chunk(tool_calls=[CALL]), chunk(finish="tool_calls")]
    ),
    "a refusal": Golden(
        usage_of(20, 6), 38_400, [chunk(refusal="I cannot do that, sorry."), chunk(finish="stop")]
    ),
    "stopped by a filter": Golden(
        usage_of(20, 2), 28_800, [chunk("Well"), chunk(finish="content_filter")]
    ),
    "filtered from the start": Golden(usage_of(20, 0), 0, [chunk(finish="content_filter")]),
    "thinking alone": Golden(
        usage_of(20, 6, reasoning_tokens=6), 45_600, [chunk(reasoning="so"), chunk(finish="length")]
    ),
}


class TestGoldenTable:
    @pytest.mark.proves("F19")
    @pytest.mark.parametrize("name", GOLDEN)
    async def test_the_charge_is_that_of_the_table(self, shop, http, fake, user, name):
        row = GOLDEN[name]
        await sync_to_async(self.reprice)(shop)
        fake.script = [*row.events, event(choices=[], usage=row.usage), DONE]
        answer = await chat(http, shop, user, "fake-script", stream=True, **row.asked)
        assert said(answer)[-1] == "[DONE]"
        assert shop.wallet(user) == Wallet(UNIT - row.charge, 0)
        assert [charged for _, _, charged in shop.ends()] == [row.charge]

    def reprice(self, shop: Shop) -> None:
        Model.objects.filter(connection__paywall=shop.paywall).update(cost=RATES)


class TestElsewhere:
    @pytest.fixture
    def both(self, shop: Shop, second: FakeUpstream) -> Shop:
        sell(shop.paywall, second.url, name="second", models=[MODEL])
        return shop

    @pytest.mark.proves("F21")
    async def test_after_the_first_byte_nobody_else_is_asked(self, both, http, fake, second, user):
        fake.behaviour = "cut"
        answer = await chat(http, both, user, stream=True)
        assert "error" in said(answer)[-1]
        assert second.requests == []
        (end,) = both.ends()
        assert end == ("truncated", "upstream_error:delivered", UNIT - both.wallet(user).posted)

    @pytest.mark.proves("F21")
    @pytest.mark.parametrize("behaviour", ["500", "stall", "not-http"])
    async def test_before_it_the_next_one_is_asked_and_one_is_paid(
        self, product, http, fake, second, aftermath, behaviour
    ):
        fake.behaviour = behaviour
        both = await sync_to_async(make_shop)(product, fake.url, timeouts={"idle_s": 0.3})
        await sync_to_async(sell)(both.paywall, second.url, name="second", models=[MODEL])
        user = await sync_to_async(both.funded)()
        answer = await chat(http, both, user, stream=True)
        assert "second" in answer.text
        assert said(answer)[-1] == "[DONE]"
        assert len(fake.requests) == len(second.requests) == 1
        assert both.ends() == [("completed", "completed:usage", CHARGE)]
        assert both.wallet(user) == Wallet(UNIT - CHARGE, 0)
