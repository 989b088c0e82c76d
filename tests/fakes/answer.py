"""One answer of the fake model provider, with the means to misbehave."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from tests.fakes.upstream import FakeUpstream

Json = dict[str, Any]


@dataclass(frozen=True)
class Seen:
    """A request that arrived. Header names are lower case."""

    path: str
    headers: Mapping[str, str]
    json: Json
    connection: int


class Reader(asyncio.StreamReader):
    """Tells that the client is gone without reading from it."""

    def __init__(self) -> None:
        super().__init__(loop=asyncio.get_running_loop())
        self.gone = asyncio.Event()

    def feed_eof(self) -> None:
        super().feed_eof()
        self.gone.set()

    def set_exception(self, exc: Exception) -> None:
        super().set_exception(exc)
        self.gone.set()


class ClientLeftError(Exception):
    """The client closed while its answer was still under way."""


class Answer:
    """One answer under way, with the means to misbehave."""

    def __init__(
        self,
        upstream: "FakeUpstream",
        seen: Seen,
        reader: Reader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.upstream = upstream
        self.seen = seen
        self.is_last = False
        self._reader = reader
        self._writer = writer

    @property
    def streams(self) -> bool:
        return bool(self.seen.json.get("stream"))

    @property
    def wants_usage(self) -> bool:
        return bool((self.seen.json.get("stream_options") or {}).get("include_usage"))

    async def run(self, behaviour: "Behaviour") -> None:
        """Answer, while watching whether the client leaves."""
        answering = asyncio.ensure_future(behaviour(self))
        leaving = asyncio.ensure_future(self._reader.gone.wait())
        try:
            await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                raise ClientLeftError
            answering.result()
        finally:
            answering.cancel()
            leaving.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def head(self, status: int = 200, *, length: int | None = None, **headers: str) -> None:
        """Status line and headers; without a length the body is chunked."""
        lines = {"Content-Type": "application/json", **self.upstream.headers}
        lines |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines |= (
            {"Transfer-Encoding": "chunked"} if length is None else {"Content-Length": str(length)}
        )
        text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        await self.send(f"HTTP/1.1 {status} X\r\n{text}\r\n".encode())

    async def chunk(self, data: bytes) -> None:
        await self.send(b"%x\r\n%s\r\n" % (len(data), data))

    async def end(self) -> None:
        await self.send(b"0\r\n\r\n")

    async def whole(self, status: int, body: bytes, **headers: str) -> None:
        await self.head(status, length=len(body), **headers)
        await self.send(body)

    async def error(self, status: int, message: str, **headers: str) -> None:
        body = {"error": {"message": message, "type": "x", "param": None, "code": "fake_code"}}
        await self.whole(status, orjson.dumps(body), **headers)

    def completion(self, *, usage: bool = True) -> bytes:
        message = {"role": "assistant", "content": "".join(self.upstream.words)}
        body = {
            "id": "chatcmpl-fake",
            "object": "chat.completion",
            "created": 1,
            "model": self.seen.json.get("model"),
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        }
        return orjson.dumps(body | ({"usage": self.upstream.usage} if usage else {}))

    def events(self, *, usage: bool = True) -> list[bytes]:
        """The whole stream, one event each, `[DONE]` last."""
        deltas: list[Json] = [{"role": "assistant", "content": ""}]
        deltas += [{"content": word} for word in self.upstream.words]
        found = [self.event([{"index": 0, "delta": it, "finish_reason": None}]) for it in deltas]
        found.append(self.event([{"index": 0, "delta": {}, "finish_reason": "stop"}]))
        if usage and self.wants_usage:
            found.append(self.event([], usage=self.upstream.usage))
        return [*found, b"data: [DONE]\n\n"]

    def event(self, choices: list[Json], **more: Any) -> bytes:
        chunk = {
            "id": "chatcmpl-fake",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": self.seen.json.get("model"),
            "choices": choices,
            **more,
        }
        return b"data: " + orjson.dumps(chunk) + b"\n\n"

    async def stream(self, events: list[bytes]) -> None:
        await self.head(Content_Type="text/event-stream")
        for event in events:
            await self.chunk(event)
        await self.end()

    async def forever(self) -> None:
        await asyncio.Event().wait()

    def reset(self) -> None:
        """Close with a TCP reset."""
        self.is_last = True
        raw: socket.socket = self._writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def step(self) -> None:
        """Wait for the test to `release()`."""
        await self.upstream._gate.acquire()


Behaviour = Callable[[Answer], Awaitable[None]]
