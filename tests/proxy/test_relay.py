"""What the relay lets through does not depend on how the bytes were cut on their way."""

from itertools import pairwise

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.kit.limits import SSE_EVENT_BYTES_MAX
from providers.errors import OversizeError
from proxy.meter import Meter
from proxy.relay import Sieve
from tests.support.chats import terms


def chunk(text: str, **more) -> bytes:
    delta = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return b"data: " + orjson.dumps({"id": "x", "choices": [delta], **more}) + b"\n\n"


USAGE = {"prompt_tokens": 3, "completion_tokens": 2}
USAGE_CHUNK = b"data: " + orjson.dumps({"id": "x", "choices": [], "usage": USAGE}) + b"\n\n"
DONE = b"data: [DONE]\n\n"
STREAM = b"".join(
    (
        b": waiting\r\n\r\n",
        chunk("Grüße 漢字 🙂"),
        chunk('he said "usage": { and "error": [DONE]'),
        chunk("null", usage=None),
        b"%%% garbage\n\n",
        b"data: {broken\n\n",
        b'event: x\ndata: {"choices":\ndata: []}\n\n',
        chunk("with", usage=USAGE),
        USAGE_CHUNK,
        DONE,
        chunk("after the end"),
    )
)


def sieve(*, shows_usage: bool = False) -> Sieve:
    found = terms()
    adapter = found.offer.model.endpoint.adapter
    return Sieve(adapter, Meter(found), shows_usage=shows_usage)


def passed(pieces: list[bytes], **options) -> tuple[bytes, Sieve]:
    one = sieve(**options)
    return b"".join([*(one.feed(piece) for piece in pieces), one.rest()]), one


class TestSieve:
    def test_every_cut_in_two_lets_the_same_through(self):
        whole, _ = passed([STREAM])
        for at in range(len(STREAM)):
            assert passed([STREAM[:at], STREAM[at:]])[0] == whole, at

    def test_one_byte_at_a_time_lets_the_same_through(self):
        single, one = passed([bytes([byte]) for byte in STREAM])
        whole, other = passed([STREAM])
        assert single == whole
        assert one.garbage == other.garbage == 2
        assert one.is_done

    @given(st.lists(st.integers(0, len(STREAM)), max_size=12), st.booleans())
    def test_any_division_lets_the_same_through(self, cuts, shows_usage):
        bounds = [0, *sorted(cuts), len(STREAM)]
        pieces = [STREAM[a:b] for a, b in pairwise(bounds)]
        once, _ = passed([STREAM], shows_usage=shows_usage)
        assert passed(pieces, shows_usage=shows_usage)[0] == once

    def test_sound_events_pass_byte_for_byte(self):
        text, one = passed([STREAM])
        for event in (b": waiting\r\n\r\n", chunk("Grüße 漢字 🙂"), chunk("null", usage=None)):
            assert event in text
        assert b'event: x\ndata: {"choices":\ndata: []}\n\n' in text
        assert b"after the end" not in text
        assert b"[DONE]\n" not in text
        assert one.usage_chunk is not None

    def test_usage_beside_text_is_taken_out_only_where_it_was_not_asked_for(self):
        hidden, _ = passed([chunk("with", usage=USAGE)])
        shown, _ = passed([chunk("with", usage=USAGE)], shows_usage=True)
        assert hidden == chunk("with")
        assert shown == chunk("with", usage=USAGE)

    def test_the_providers_own_price_is_never_shown(self):
        priced = chunk("with", usage={**USAGE, "cost": 0.5, "is_byok": False})
        shown, _ = passed([priced], shows_usage=True)
        assert orjson.loads(shown[6:])["usage"] == USAGE

    def test_plain_events_before_one_that_tells_pass_as_they_came(self):
        plain = chunk("one") + chunk("two", usage=None)
        through, one = passed([plain + USAGE_CHUNK + DONE])
        assert (through, one.is_done) == (plain, True)
        assert one.usage_chunk is not None

    def test_words_about_usage_in_the_answer_are_not_usage(self):
        event = chunk('{"usage": {"prompt_tokens": 1}, "error": "x"}')
        assert passed([event])[0] == event

    def test_an_error_ends_it_and_is_scrubbed(self):
        error = b'data: {"error":{"message":"no sk-abcdef123456 at https://h/x"}}\n\n'
        text, one = passed([chunk("a"), error, chunk("b"), DONE])
        assert text == chunk("a")
        assert one.failure is not None
        assert not one.is_done
        assert "sk-abcdef" not in one.failure.message

    def test_a_null_error_is_none(self):
        event = chunk("a", error=None)
        assert passed([event])[0] == event

    def test_a_done_without_a_last_blank_line_counts(self):
        assert passed([chunk("a"), b"data: [DONE]"])[1].is_done

    def test_a_half_event_at_the_end_is_dropped(self):
        assert passed([chunk("a"), chunk("b")[:-9]])[0] == chunk("a")

    def test_an_event_that_never_ends_is_refused(self):
        one = sieve()
        piece = b"data: {" + b"x" * (SSE_EVENT_BYTES_MAX + 1)
        one.feed(piece)
        with pytest.raises(OversizeError):
            one.feed(b"x")

    def test_a_megabyte_in_one_event_passes(self):
        event = chunk("x" * 1_000_000)
        pieces = [event[at : at + 4_096] for at in range(0, len(event), 4_096)]
        assert passed(pieces)[0] == event
