import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.kit.errors import InvalidRequestError
from config.kit.limits import JSON_DEPTH_MAX, JSON_MEMBERS_MAX
from proxy import body
from proxy.errors import BodyTimeoutError, BodyTooLargeError, UnsupportedMediaTypeError
from proxy.watch import ClientGoneError


def nested(depth: int) -> bytes:
    """An object with lists in it, `depth` levels in all."""
    return b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


class TestParse:
    @pytest.mark.parametrize(
        "raw",
        [
            pytest.param(b"", id="B1 empty"),
            pytest.param(b"user=1", id="B2 not JSON"),
            pytest.param(b"[]", id="B2 array"),
            pytest.param(b"1", id="B2 scalar"),
            pytest.param(b"null", id="B2 null"),
            pytest.param(b'\xef\xbb\xbf{"a":1}', id="B2 byte order mark"),
            pytest.param('{"a":1}'.encode("utf-16"), id="B2 UTF-16"),
            pytest.param(b'{"a":"\\ud800"}', id="B2 half a surrogate"),
            pytest.param(b'{"a":"\xff"}', id="B2 not UTF-8"),
            pytest.param(b'{"a":NaN}', id="B3 NaN"),
            pytest.param(b'{"a":-Infinity}', id="B3 Infinity"),
            pytest.param(b'{"a":1e400}', id="B3 beyond a double"),
            pytest.param(nested(10_000), id="B4 depth 10,000"),
            pytest.param(nested(JSON_DEPTH_MAX + 1), id="B4 a level too deep"),
            pytest.param(b'{"a":' + b" " * 5000 + nested(65)[5:], id="B4 too deep and long"),
            pytest.param(b'{"user":"a","user":"b"}', id="B4 a key twice"),
            pytest.param(b'{"user":"a","\\u0075ser":"b"}', id="B4 a key twice, escaped"),
            pytest.param(b'{"user" : "a","user"\n:"b"}', id="B4 a key twice, spaced"),
            pytest.param(b'{"a":[' + b"1," * JSON_MEMBERS_MAX + b"1]}", id="B4 too many members"),
            pytest.param(b"{" + b'"k":1,' * 1_000_000 + b'"z":1}', id="B4 a million keys"),
        ],
    )
    def test_what_is_not_plain_json_is_refused(self, raw: bytes):
        with pytest.raises(InvalidRequestError):
            body.parse(raw)

    @pytest.mark.parametrize(
        "raw",
        [
            nested(JSON_DEPTH_MAX),
            b'{"messages":[{"role":"user"},{"role":"user"}],"user":"role"}',
            b'{"a":"\\u0041","b":"\\"b\\":"}',
            b' {"a" : 1.5e3} \n',
        ],
    )
    def test_what_only_looks_odd_is_read(self, raw: bytes):
        assert body.parse(raw)

    @given(st.dictionaries(st.text(), st.integers() | st.text() | st.lists(st.booleans())))
    def test_every_object_comes_back(self, value: dict[str, object]):
        assert body.parse(json.dumps(value).encode()).keys() == value.keys()


class TestNumberText:
    @pytest.mark.parametrize("text", ["0.1", "1e3", "-0", "1.0", "123456789012345678901"])
    def test_a_number_is_read_as_written(self, text: str):
        assert body.number_text(f'{{"amount": {text}}}'.encode(), "amount") == text


class TestCheckHeaders:
    @pytest.mark.parametrize(
        "content_type",
        [
            "multipart/form-data; boundary=" + "-" * 100_000,
            "application/x-www-form-urlencoded",
            "text/plain",
            "",
            "application/json; charset=utf-16",
        ],
    )
    def test_b6_other_types_are_refused(self, content_type: str):
        with pytest.raises(UnsupportedMediaTypeError):
            body.check_headers({"content-type": content_type}, bytes_max=10)

    @pytest.mark.parametrize(
        "content_type",
        [
            "application/json",
            "application/json; charset=utf-8",
            'Application/JSON;charset="UTF-8"',
            "application/merge-patch+json",
        ],
    )
    def test_json_is_accepted(self, content_type: str):
        body.check_headers({"content-type": content_type}, bytes_max=10)

    @pytest.mark.parametrize("encoding", ["gzip", "br", "deflate, gzip"])
    def test_b5_compressed_bodies_are_refused(self, encoding: str):
        with pytest.raises(UnsupportedMediaTypeError):
            body.check_headers({"content-encoding": encoding}, bytes_max=10)

    @pytest.mark.parametrize("length", ["11", "9" * 500])
    def test_b5_a_body_that_says_it_is_too_long_is_not_read(self, length: str):
        with pytest.raises(BodyTooLargeError):
            body.check_headers({"content-length": length}, bytes_max=10)


def receiving(*messages: dict[str, object]):
    queue = list(messages)

    async def receive():
        return queue.pop(0)

    return receive


def piece(content: bytes, *, more: bool = True) -> dict[str, object]:
    return {"type": "http.request", "body": content, "more_body": more}


class TestRead:
    async def test_pieces_are_joined(self):
        receive = receiving(piece(b"ab"), piece(b""), piece(b"c", more=False))
        assert await body.read(receive, bytes_max=3) == b"abc"

    async def test_b5_it_stops_at_the_limit(self):
        receive = receiving(piece(b"ab"), piece(b"cd"), piece(b"never read"))
        with pytest.raises(BodyTooLargeError):
            await body.read(receive, bytes_max=3)

    async def test_b5_a_client_that_leaves_is_noticed(self):
        with pytest.raises(ClientGoneError):
            await body.read(receiving(piece(b"a"), {"type": "http.disconnect"}), bytes_max=3)

    async def test_a_slow_body_is_given_up(self, monkeypatch):
        monkeypatch.setattr(body, "BODY_READ_S", 0.01)
        with pytest.raises(BodyTimeoutError):
            await body.read(asyncio.Event().wait, bytes_max=3)
