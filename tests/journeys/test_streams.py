"""What providers may do to a stream, on the running product: F1 to F3 and F8 to F15."""

import pytest
from asgiref.sync import sync_to_async

from tests.support.asks import chat, chunk, event, looked_up, said
from tests.support.chats import PROMPT
from tests.support.product import (
    CHARGE,
    OUTPUT_NANOS,
    UNIT,
    Shop,
    Wallet,
    is_price_of,
    make_shop,
)

DONE = b"data: [DONE]\n\n"
WORDS = [f" word{number}" for number in range(20)]
COUNTED = 7
"""Tokens of the fake provider's own words."""

ASKED = {"stream": True, "stream_options": {"include_usage": True}}


@pytest.fixture
def user(shop: Shop) -> str:
    return shop.funded()


@pytest.fixture
def hasty(product, fake, aftermath) -> Shop:
    """A shop that waits for nobody: its provider has half a second of silence, and two in all."""
    return make_shop(product, fake.url, timeouts={"idle_s": 0.5, "total_s": 2})


def paid(shop: Shop, user: str) -> int:
    """What a user who had one unit has paid; nothing may be held."""
    wallet = shop.wallet(user)
    assert wallet.held == 0
    return UNIT - wallet.posted


def is_error(answer, code: str) -> bool:
    """Whether a stream ends with an event of this error, and pretends nothing else."""
    *_, last = said(answer)
    assert "[DONE]" not in answer.text
    assert '"finish_reason":"stop"' not in answer.text
    assert "\n\nevent: error\ndata: " in answer.text
    return bool(last["error"]["code"] == code)


class TestWhole:
    @pytest.mark.proves("F1", "F3")
    async def test_it_passes_byte_for_byte_but_for_the_usage_only_we_asked_for(
        self, shop, http, fake, user
    ):
        usage = event(choices=[], usage=fake.usage)
        first, last = chunk("Hello"), chunk(" wörld", finish="stop")
        fake.script = [first, last, usage, DONE]
        answer = await chat(http, shop, user, "fake-script", stream=True)
        assert answer.content == first + last + DONE
        assert paid(shop, user) == CHARGE
        assert shop.ends() == [("completed", "completed:usage", CHARGE)]
        assert (await looked_up(http, shop, answer))["usageSource"] == "provider"

    @pytest.mark.proves("F1")
    async def test_who_asked_for_usage_gets_it_with_what_was_charged(self, shop, http, fake, user):
        answer = await chat(http, shop, user, **ASKED)
        *_, usage, done = said(answer)
        assert done == "[DONE]"
        assert usage["usage"] == fake.usage | {"cost": CHARGE / UNIT}
        assert paid(shop, user) == CHARGE

    @pytest.mark.proves("F2")
    async def test_without_usage_it_is_counted_here(self, shop, http, user):
        answer = await chat(http, shop, user, "fake-no-usage", stream=True)
        assert said(answer)[-1] == "[DONE]"
        found = await looked_up(http, shop, answer)
        assert found["usageSource"] == "estimated"
        assert found["usage"]["completion"] == COUNTED
        assert is_price_of(paid(shop, user), output=COUNTED)
        assert shop.ends()[0][1] == "usage_missing:estimate"


class TestFraming:
    @pytest.mark.proves("F12")
    async def test_odd_but_valid_events_arrive_as_they_were_sent(self, shop, http, fake, user):
        umlaut = chunk("Grüße 漢字 🙂")
        events = [
            b": waiting\r\n\r\n",
            chunk("one").replace(b"\n", b"\r\n"),
            b'event: message\nid: 7\ndata: {"choices":\ndata: []}\n\n',
            umlaut,
            chunk("end", finish="stop"),
        ]
        whole = b"".join(events)
        fake.script = [bytes([byte]) for byte in whole + DONE]
        bytewise = await chat(http, shop, user, "fake-script", stream=True)
        at = whole.index(umlaut) + umlaut.index("ü".encode()) + 1
        fake.script = [whole[:at], whole[at:], DONE]
        in_two = await chat(http, shop, user, "fake-script", stream=True)
        assert bytewise.content == in_two.content == whole + DONE

    @pytest.mark.proves("F12")
    async def test_garbage_is_dropped(self, shop, http, user):
        answer = await chat(http, shop, user, "fake-garbage", stream=True)
        for garbage in ("%%%", "broken", "nonsense"):
            assert garbage not in answer.text
        assert "Hello" in answer.text
        assert paid(shop, user) == CHARGE

    @pytest.mark.proves("F13")
    async def test_a_megabyte_in_one_event_is_delivered(self, shop, http, fake, user):
        call = {"index": 0, "function": {"name": "draw", "arguments": "x y " * 250_000}}
        long = chunk(tool_calls=[call])
        fake.script = [long, chunk(finish="tool_calls"), DONE]
        rich = await sync_to_async(shop.funded)(100 * UNIT)
        answer = await chat(http, shop, rich, "fake-script", stream=True, max_tokens=1_000_000)
        assert answer.content == b"".join(fake.script)

    @pytest.mark.proves("F13")
    async def test_five_megabytes_in_one_event_end_it_and_the_delivered_part_is_paid(
        self, shop, http, fake, user
    ):
        fake.script = [chunk("one"), chunk(" two"), chunk("x" * 5_000_000), DONE]
        answer = await chat(http, shop, user, "fake-script", stream=True)
        assert answer.content.startswith(b"".join(fake.script[:2]))
        assert len(answer.content) < 10_000
        assert is_error(answer, "upstream_error")
        assert is_price_of(paid(shop, user), output=2)


class TestBroken:
    @pytest.mark.proves("F9", "F10")
    @pytest.mark.parametrize("behaviour", ["cut", "eof"])
    async def test_twenty_words_and_an_end_that_is_none(self, shop, http, fake, user, behaviour):
        fake.words, fake.cut_after = [*WORDS, " and", " more"], 1 + len(WORDS)
        answer = await chat(http, shop, user, f"fake-{behaviour}", stream=True)
        assert [word for word in WORDS if word in answer.text] == WORDS
        assert is_error(answer, "upstream_error")
        (end,) = shop.ends()
        assert end == ("truncated", "upstream_error:delivered", paid(shop, user))
        found = await looked_up(http, shop, answer)
        tokens = found["usage"]["completion"]
        assert (found["usageSource"], found["status"]) == ("estimated", "truncated")
        assert len(WORDS) <= tokens <= 2 * len(WORDS)
        assert is_price_of(end[2], output=tokens)

    @pytest.mark.proves("F11")
    async def test_an_error_within_is_told_and_its_words_cost_nothing(self, shop, http, fake, user):
        error = {"message": "a very long explanation " * 50, "code": 502}
        fake.script = [chunk("one"), chunk(" two"), event(error=error), DONE]
        answer = await chat(http, shop, user, "fake-script", stream=True)
        assert is_error(answer, "upstream_error")
        assert is_price_of(paid(shop, user), output=2)

    @pytest.mark.proves("F8")
    async def test_a_head_and_then_silence_costs_nothing(self, hasty, http, fake):
        user = await sync_to_async(hasty.funded)()
        answer = await chat(http, hasty, user, "fake-stall", stream=True)
        assert (answer.status_code, answer.json()["error"]["code"]) == (504, "upstream_timeout")
        await fake.wait_closed()
        assert hasty.ends() == [("failed", "failed", 0)]
        assert hasty.wallet(user) == Wallet(UNIT, 0)

    @pytest.mark.proves("F8")
    async def test_silence_in_the_middle_is_told_in_the_stream(self, hasty, http, fake):
        user = await sync_to_async(hasty.funded)()
        answer = await chat(http, hasty, user, "fake-hang", stream=True)
        assert is_error(answer, "upstream_timeout")
        await fake.wait_closed()
        (end,) = hasty.ends()
        assert end == ("truncated", "upstream_error:delivered", paid(hasty, user))


class TestWithoutEnd:
    @pytest.mark.slow
    @pytest.mark.proves("F14")
    async def test_time_ends_it(self, hasty, http, fake):
        user = await sync_to_async(hasty.funded)()
        answer = await chat(http, hasty, user, "fake-endless", stream=True, max_tokens=100_000)
        assert is_error(answer, "request_too_slow")
        await fake.wait_closed()
        words = len(said(answer)) - 2
        assert is_price_of(paid(hasty, user), output=words)

    @pytest.mark.proves("F14", "F15")
    async def test_the_hold_ends_it(self, shop, http, fake):
        fake.words = [" word"]
        user = await sync_to_async(shop.funded)(UNIT // 1_000)
        answer = await chat(http, shop, user, "fake-endless", stream=True)
        assert is_error(answer, "budget_exhausted")
        await fake.wait_closed()
        wallet = shop.wallet(user)
        assert wallet.held == 0
        assert 0 <= wallet.posted < 200 * OUTPUT_NANOS
        (asked,) = fake.requests
        assert asked.json["max_tokens"] * OUTPUT_NANOS < UNIT // 1_000

    @pytest.mark.proves("F15")
    async def test_ten_times_the_limit_is_cut_and_costs_no_more_than_the_limit(
        self, product, shop, http, fake, user
    ):
        words, most = 400, 20
        fake.words = [" word"] * words
        answer = await chat(http, shop, user, "fake-ignores-max", stream=True, max_tokens=most)
        assert is_error(answer, "budget_exhausted")
        prompt_most = 500 * OUTPUT_NANOS
        assert most * OUTPUT_NANOS < paid(shop, user) < most * OUTPUT_NANOS + prompt_most
        log = product.child.log.read_text()
        assert "ignored its output limit" in log
        assert PROMPT not in log
