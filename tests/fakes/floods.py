"""More ways in which the fake model provider answers: word for word, without end, and bombs."""

import asyncio
import gzip
from functools import cache
from typing import Final

from tests.fakes.answer import Answer, Behaviour

PACE_S: Final = 0.002
BOMB_BYTES: Final = 128 * 1024 * 1024
FLOOD_BYTES: Final = 1024 * 1024 * 1024
PIECE: Final = b" " * 65_536


async def _script(it: Answer) -> None:
    """The body that the test wrote: a stream in just these pieces, or JSON."""
    if it.streams:
        await it.stream(it.upstream.script)
    else:
        await it.whole(200, b"".join(it.upstream.script))


async def _raw(it: Answer) -> None:
    """Every byte as the test wrote it, head and all."""
    it.is_last = True
    await it.send(b"".join(it.upstream.script))


async def _endless(it: Answer) -> None:
    """A word, and another word."""
    role, word, *_ = it.events()
    await it.head(Content_Type="text/event-stream")
    await it.chunk(role)
    while True:
        await it.chunk(word)
        await asyncio.sleep(PACE_S)


async def _gzip_bomb(it: Answer) -> None:
    await it.whole(200, _bomb(), Content_Encoding="gzip")


@cache
def _bomb() -> bytes:
    return gzip.compress(bytes(BOMB_BYTES), compresslevel=1)


async def _flood(it: Answer) -> None:
    """A gigabyte of JSON, or of one event."""
    kind = "text/event-stream" if it.streams else "application/json"
    await it.head(length=FLOOD_BYTES, Content_Type=kind)
    for _ in range(FLOOD_BYTES // len(PIECE)):
        await it.send(PIECE)


async def _brackets(it: Answer) -> None:
    """Sixteen megabytes of JSON, or four of one event, that are a gigabyte of lists."""
    lists = b"[" + b"[]," * (1_300_000 if it.streams else 5_500_000) + b"[]]"
    if it.streams:
        await it.stream([b'data: {"choices":%b}\n\n' % lists, b"data: [DONE]\n\n"])
    else:
        await it.whole(200, b'{"choices":%b}' % lists)


async def _flood_of_events(it: Answer) -> None:
    """A gigabyte of comments."""
    await it.head(Content_Type="text/event-stream")
    for _ in range(FLOOD_BYTES // len(PIECE)):
        await it.chunk(b":" + PIECE + b"\n\n")


FLOODS: Final[dict[str, Behaviour]] = {
    "brackets": _brackets,
    "endless": _endless,
    "flood": _flood,
    "flood-of-events": _flood_of_events,
    "gzip-bomb": _gzip_bomb,
    "raw": _raw,
    "script": _script,
}
