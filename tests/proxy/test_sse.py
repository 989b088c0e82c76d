"""Events come out the same however the stream was divided on its way."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from proxy import sse

STREAMS = [
    b'data: {"a":1}\n\ndata: {"b":2}\n\ndata: [DONE]\n\n',
    b'data: {"a":1}\r\n\r\n: waiting\r\n\r\ndata: [DONE]\r\n\r\n',
    b'data: {"a":1}\r\rdata: {"b":2}\r\rdata: x\n\n',
    b'event: message\ndata: {"a":\ndata: 1}\n\n\n\ndata: [DONE]\n\n',
    'data: {"content":"zwölf 漢字 🙂"}\n\ndata: [DONE]\n\n'.encode(),
    b"garbage\n\ndata: {}\n\r\ndata: {}\r\n\ndata: {}\n\r",
]


def events_of(pieces: list[bytes]) -> list[bytes]:
    cutter = sse.Cutter()
    blocks = [cutter.feed(piece) for piece in pieces]
    return [event for block in (*blocks, cutter.rest()) for event in sse.split(block)]


class TestCutter:
    def test_one_byte_at_a_time_gives_the_same_events(self):
        for stream in STREAMS:
            assert events_of([bytes([byte]) for byte in stream]) == events_of([stream]), stream

    def test_every_cut_in_two_gives_the_same_events(self):
        for stream in STREAMS:
            whole = events_of([stream])
            for at in range(len(stream) + 1):
                assert events_of([stream[:at], stream[at:]]) == whole, (stream, at)

    @given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"x", b"data: 1", b":"]), max_size=30),
           st.data())  # fmt: skip
    def test_any_division_of_any_stream_gives_the_same_events(self, parts, data):
        stream = b"".join(parts)
        cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
        bounds = [0, *cuts, len(stream)]
        pieces = [stream[a:b] for a, b in pairwise(bounds)]
        assert events_of(pieces) == events_of([stream])

    def test_no_byte_is_lost(self):
        for stream in STREAMS:
            assert b"".join(events_of([stream])).startswith(stream.rstrip(b"\r\n"))

    def test_only_the_unfinished_event_is_kept(self):
        cutter = sse.Cutter()
        assert cutter.feed(b"data: {}\n\ndata: {") == b"data: {}\n\n"
        assert cutter.kept_bytes == len(b"data: {")


class TestRead:
    def test_data_lines_are_joined(self):
        found = sse.read(b'data: {"a":\ndata: 1}\n\n')
        assert found.data == b'{"a":\n1}'
        assert found.garbage == 0

    def test_garbage_lines_are_dropped_and_counted_and_the_rest_is_kept_as_it_came(self):
        found = sse.read(b"%%%\r\nid: 7\r\ndata: {}\r\nnonsense: 1\r\n\r\n")
        assert found.sound == b"id: 7\r\ndata: {}\r\n\r\n"
        assert found.garbage == 2

    def test_a_comment_has_no_data(self):
        assert sse.read(b": waiting\n\n") == sse.Event(b": waiting\n\n", None, 0)

    def test_a_byte_order_mark_before_the_first_event_is_no_garbage(self):
        assert sse.read(b"\xef\xbb\xbfdata: {}\n\n").data == b"{}"


def test_only_events_of_one_json_line_are_plain():
    assert sse.is_plain(b'data: {"a":1}\n\ndata: {"b":2}\n\n')
    assert sse.is_plain(b'data:{"a":1}\n\ndata:{"b":2}\n\n')
    for other in (b"data: [DONE]\n\n", b": x\n\n", b"data: {}\r\n\r\n", b"data: {}\n", b"x\n\n"):
        assert not sse.is_plain(other), other
