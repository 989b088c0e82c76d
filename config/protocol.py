"""The server's HTTP protocol: uvicorn's on httptools, with fewer system calls.

uvicorn writes an answer's head and its body apart. Each write wakes the peer, and that is the
dearest single step of a short answer (measured: 14 % of a paid JSON request's processor time), so
a head waits for the body that follows it in the same turn of the loop.

And it offers two ASGI extensions, plain functions. `PASS_ON` writes a piece of a body that has
begun: a stream's pieces then need no task to wake and no message to be made. `ARRIVED` gives a
request's body that came with its head, so that nobody needs to wait for it with a timer.
"""

import asyncio
from functools import partial
from typing import Any, Final, cast
from weakref import ref

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from config.kit.limits import HEAD_BYTES_MAX

HEAD: Final = b"HTTP/1.1 "
PASS_ON: Final = "paywalls.pass_on"  # noqa: S105 - a name
"""In `scope["extensions"]`: (bytes) -> bool. False: nothing was written, send it as a message."""

ARRIVED: Final = "paywalls.arrived"
"""In `scope["extensions"]`: () -> bytes | None. None: not all of it is there, ask for messages."""


class CorkedTransport:
    """A transport that holds a head back until the body, or the end of the loop's turn, comes."""

    __slots__ = ("_head", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(HEAD):
            self._head = data
            self._loop.call_soon(self._flush)
            return
        self._transport.write(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        data, self._head = self._head, b""
        if data and not self._transport.is_closing():
            self._transport.write(data)


class HeadTooLargeError(Exception):
    """Raised inside the parser, which makes it a 400."""


class Protocol(HttpToolsProtocol):
    """`uvicorn --http=config.protocol:Protocol`: what its head is made of is bounded."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        corked = CorkedTransport(cast("asyncio.Transport", transport), self.loop)
        self._is_in_head = True
        self._head_bytes = 0
        super().connection_made(cast("asyncio.Transport", corked))

    def data_received(self, data: bytes) -> None:
        if self._is_in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        is_too_large = self._is_in_head and self._head_bytes > HEAD_BYTES_MAX
        if is_too_large and not self.transport.is_closing():
            self.send_400_response("The headers are too large.")

    def on_headers_complete(self) -> None:
        # What was counted may hold some of the body, too: look closer only then.
        if self._head_bytes > HEAD_BYTES_MAX and self._exact_head_bytes() > HEAD_BYTES_MAX:
            raise HeadTooLargeError
        self._is_in_head = False
        self._head_bytes = 0
        super().on_headers_complete()
        # Its task has not begun yet; a later request on this connection has a cycle of its own.
        # By a weak reference: the cycle holds its scope, and the two would wait for a collection.
        cycle = ref(self.cycle)
        extensions = {PASS_ON: partial(_pass_on, cycle), ARRIVED: partial(_arrived, cycle)}
        self.scope["extensions"] = cast("Any", extensions)

    def on_message_complete(self) -> None:
        self._is_in_head = True
        super().on_message_complete()

    def _exact_head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)


def _pass_on(asked: "ref[RequestResponseCycle]", piece: bytes) -> bool:
    """Write a piece of a chunked body now, unless the client is slow, gone or not there yet."""
    cycle = asked()
    if (
        cycle is None
        or not cycle.chunked_encoding
        or cycle.response_complete
        or cycle.disconnected
        or cycle.flow.write_paused
    ):
        return False
    cycle.transport.write(b"%x\r\n%b\r\n" % (len(piece), piece))
    return True


def _arrived(asked: "ref[RequestResponseCycle]") -> bytes | None:
    """The whole body, once, as the cycle's own message would give it."""
    cycle = asked()
    if cycle is None or cycle.more_body or cycle.disconnected or cycle.waiting_for_100_continue:
        return None
    cycle.flow.resume_reading()
    cycle.message_event.clear()
    body, cycle.body = bytes(cycle.body), bytearray()
    return body
