"""Reading a request's body: bounded in bytes, time, depth and members, and strict JSON.

orjson refuses what JSON does not have (NaN, Infinity, numbers beyond a double, half surrogates,
byte order marks, other encodings), but keeps the last of two equal keys; that is refused here.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from itertools import chain
from typing import Final

import orjson

from config.kit.errors import InvalidRequestError
from config.kit.limits import (
    BODY_READ_S,
    DISCARD_BYTES_MAX,
    DISCARD_S,
    JSON_DEPTH_MAX,
    JSON_MEMBERS_MAX,
)
from proxy.errors import BodyTimeoutError, BodyTooLargeError, UnsupportedMediaTypeError
from proxy.requests import Headers, Receive
from proxy.watch import ClientGoneError

SHORT_BYTES: Final = 4_096
"""Up to here the brackets say enough about a body's shape."""

_PAIRS: Final = json.JSONDecoder(object_pairs_hook=list, parse_int=str, parse_float=str)


def check_headers(headers: Headers, *, bytes_max: int) -> None:
    """Refuse a body by its headers, before it is read.

    Raises: UnsupportedMediaTypeError; BodyTooLargeError.
    """
    content_type = headers.get("content-type")
    if content_type is not None and content_type != "application/json":
        _check_type(content_type)
    encoding = headers.get("content-encoding")
    if encoding is not None and encoding.strip().lower() not in ("", "identity"):
        raise UnsupportedMediaTypeError("Send the body uncompressed, without Content-Encoding.")
    length = headers.get("content-length", "")
    if length.isdigit() and int(length[:20]) > bytes_max:
        raise _too_large(bytes_max)


def _check_type(content_type: str) -> None:
    kind, _, parameters = content_type.lower().partition(";")
    kind = kind.strip()
    is_json = kind == "application/json" or (
        kind.startswith("application/") and kind.endswith("+json")
    )
    charset = parameters.partition("charset=")[2].strip(' "')
    if not is_json or charset not in ("", "utf-8", "utf8"):
        raise UnsupportedMediaTypeError(
            "Send the body as JSON in UTF-8, with `Content-Type: application/json`."
        )


async def read(receive: Receive, *, bytes_max: int) -> bytes:
    """The whole body, counted while it arrives.

    Raises: BodyTooLargeError; BodyTimeoutError; ClientGoneError.
    """
    try:
        async with asyncio.timeout(BODY_READ_S):
            return await _collect(receive, bytes_max)
    except TimeoutError:
        raise BodyTimeoutError(
            f"The body did not arrive within {BODY_READ_S} s. Send it at once."
        ) from None


def taken(arrived: Callable[[], bytes | None] | None, *, bytes_max: int) -> bytes | None:
    """The whole body, where the server has it already.

    Raises: BodyTooLargeError.
    """
    raw = arrived() if arrived is not None else None
    if raw is not None and len(raw) > bytes_max:
        raise _too_large(bytes_max, is_read=True)
    return raw


async def _collect(receive: Receive, bytes_max: int) -> bytes:
    pieces: list[bytes] = []
    length = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        piece: bytes = message.get("body", b"")
        length += len(piece)
        if length > bytes_max:
            raise _too_large(bytes_max, is_read=not message.get("more_body", False))
        pieces.append(piece)
        if not message.get("more_body", False):
            return b"".join(pieces)


async def discard(receive: Receive) -> None:
    """Read on for a moment and forget it.

    A connection that is closed with bytes unread is reset, and the reset overtakes the answer.
    """
    left = DISCARD_BYTES_MAX
    with suppress(TimeoutError):
        async with asyncio.timeout(DISCARD_S):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if not message.get("more_body", False):
                    return


def parse(raw: bytes) -> dict[str, object]:
    """The JSON object in a body.

    Raises: InvalidRequestError: not JSON, not an object, too deep, too much, or a key twice.
    """
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise InvalidRequestError(f"The body is not valid JSON in UTF-8: {error}.") from None
    if not isinstance(body, dict):
        raise InvalidRequestError('The body must be a JSON object, such as {"user": "…"}.')
    if len(raw) > SHORT_BYTES or raw.count(b"{") + raw.count(b"[") > JSON_DEPTH_MAX:
        check_shape(body, depth_max=JSON_DEPTH_MAX, what="The body")
    if _may_have_twins(raw, body):
        _refuse_twins(raw)
    return body


def check_shape(value: object, *, depth_max: int, what: str) -> None:
    """Refuse what nests or holds too much.

    Raises: InvalidRequestError.
    """
    level: list[object] = [value]
    members = 0
    for _ in range(depth_max):
        inner = [
            item.values() if type(item) is dict else item
            for item in level
            if type(item) is dict or type(item) is list
        ]
        if not inner:
            return
        level = list(chain.from_iterable(inner))
        members += len(level)
        if members > JSON_MEMBERS_MAX:
            raise InvalidRequestError(f"{what} has more than {JSON_MEMBERS_MAX} members.")
    if any(type(item) is dict or type(item) is list for item in level):
        raise InvalidRequestError(f"{what} is nested deeper than {depth_max}.")


def _may_have_twins(raw: bytes, body: dict[str, object]) -> bool:
    """Whether a key may stand twice at the top; false only where each is written once in all."""
    if b"\\u" in raw or b"\\/" in raw:  # The same key in other letters.
        return True
    return any(raw.count(b'"%b"' % name.encode()) != 1 for name in body)


def _refuse_twins(raw: bytes) -> None:
    """Refuse a key that stands twice at the top: which one counts would be anyone's guess.

    A second parser is the only exact way, and as fast as searching: 3 µs for a short chat.
    """
    pairs: list[tuple[str, object]] = _PAIRS.decode(raw.decode())
    if len(pairs) == len(dict(pairs)):
        return
    name, count = Counter(name for name, _ in pairs).most_common(1)[0]
    raise InvalidRequestError(f"`{name}` stands in the body {count} times.", param=name)


def number_text(raw: bytes, name: str) -> str:
    """A number of a parsed body as it was written, since a float may not be what was meant."""
    text: str = json.loads(raw, parse_int=str, parse_float=str)[name]
    return text


def _too_large(bytes_max: int, *, is_read: bool = False) -> BodyTooLargeError:
    return BodyTooLargeError(f"The body is larger than {bytes_max} bytes.", is_read=is_read)
