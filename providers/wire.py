"""One HTTP/1.1 connection to a provider, and one answer on it.

An answer (`Reply`) owns what arrived for it, so that its connection is free for the next request
as soon as the last byte is in, even while a slow client still drains the reply.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, Self, cast

import httptools

from config.kit import limits
from providers.errors import CutError, FailedError, LateError, OversizeError, ProviderError
from providers.types import Timeouts

WIRE_BYTES_MAX: Final = limits.RESPONSE_BYTES_MAX + limits.HEADER_BYTES_MAX


class Reply:
    """A provider's answer while it arrives. Iterate, or `read()`; then always `drop()`.

    Iterating gives pieces of the body as they come, joined where several waited. It raises
    CutError, LateError or OversizeError, after what had arrived was given.
    tap: is offered each piece while the reader waits and nothing else does; true takes it, and the
    reader sleeps on.
    """

    __slots__ = (
        "_connection",
        "_ends_at",
        "_is_held",
        "_loop",
        "_pieces",
        "_queued_bytes",
        "_seen_at",
        "_timeouts",
        "_timer",
        "_waiter",
        "error",
        "finished",
        "headers",
        "started",
        "status",
        "tap",
    )

    def __init__(self, connection: "Connection", timeouts: Timeouts) -> None:
        self.status = 0
        self.headers: Mapping[bytes, bytes] = {}
        self.started = False
        self.finished = False
        self.error: ProviderError | None = None
        self.tap: Callable[[bytes], bool] | None = None
        self._connection: Connection | None = connection
        self._pieces: deque[bytes] = deque()
        self._queued_bytes = 0
        self._is_held = False
        self._waiter: asyncio.Future[None] | None = None
        self._timeouts = timeouts
        self._loop = connection.loop
        self._seen_at = self._loop.time()
        self._ends_at = self._seen_at + timeouts.total_s
        self._timer = self._loop.call_at(
            min(self._seen_at + timeouts.first_byte_s, self._ends_at), self._look_at_clock
        )

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while not self._pieces:
            if self.error is not None:
                raise self.error
            if self.finished:
                raise StopAsyncIteration
            await self._wait()
        piece = self._pieces.popleft() if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._queued_bytes = 0
        if self._is_held:
            self._is_held = False
            self._seen_at = self._loop.time()  # the client was slow, not the provider
            if self._connection is not None:
                self._connection.resume()
        return piece

    async def read(self) -> bytes:
        """The whole body, of at most WHOLE_BYTES_MAX.

        Raises: CutError, LateError, OversizeError.
        """
        pieces: list[bytes] = []
        left = limits.WHOLE_BYTES_MAX
        async for piece in self:
            pieces.append(piece)
            left -= len(piece)
            if left < 0:
                raise OversizeError("The provider's answer is too large.", consumed=True)
        return b"".join(pieces)

    async def gather(self, seconds: float) -> None:
        """Let what comes meanwhile pile up unread: one read then takes it all."""
        if self._connection is not None:
            self._connection.pause()
        try:
            await asyncio.sleep(seconds)
        finally:
            if self._connection is not None:
                self._connection.resume()

    def drop(self) -> None:
        """Let go. A body that is not finished closes the connection: the provider stops."""
        if not self.finished and self.error is None:
            self.fail(CutError("The request was given up.", consumed=True))

    async def head(self) -> None:
        """Wait for status and headers.

        Raises: ProviderError.
        """
        while not self.started:
            if self.error is not None:
                raise self.error
            await self._wait()

    # What the connection reports.

    def begin(self, status: int, headers: Mapping[bytes, bytes]) -> None:
        self.status = status
        self.headers = headers
        self.started = True
        if self._timeouts.idle_s < self._timeouts.first_byte_s:  # the timer is set too late now
            self._timer.cancel()
            self._seen_at = self._loop.time()
            self._look_at_clock()

    def is_tapped(self, piece: bytes) -> bool:
        """Whether the tap took a piece; then nobody needs to be woken."""
        if self.tap is None or self._pieces or self._waiter is None or self._waiter.done():
            return False
        if not self.tap(piece):
            return False
        self._seen_at = self._loop.time()
        if self._pieces:  # the tap left something for the reader
            self._wake()
        return True

    def feed(self, piece: bytes) -> bool:
        """Take a piece; whether the connection shall stop reading for now."""
        self._pieces.append(piece)
        self._queued_bytes += len(piece)
        self._is_held = self._queued_bytes > limits.UPSTREAM_QUEUE_BYTES
        return self._is_held

    def touch(self) -> None:
        """Something arrived: note the time, wake who waits."""
        self._seen_at = self._loop.time()
        self._wake()

    def finish(self) -> None:
        """The body is whole."""
        self.finished = True
        self._detach()
        self._wake()

    def fail(self, error: ProviderError) -> None:
        """The body will never be whole: raise this once what arrived is read."""
        if self.finished or self.error is not None:
            return
        self.error = error
        connection = self._connection
        self._detach()
        if connection is not None:
            connection.abort()
        self._wake()

    def _detach(self) -> None:
        self._timer.cancel()
        self._connection = None

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def _wait(self) -> None:
        assert self._waiter is None, "one reader at a time"
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _look_at_clock(self) -> None:
        """Enforce the limits. One timer per answer, which moves on when something arrived."""
        now = self._loop.time()
        if self._is_held:
            self._seen_at = now
        silent_s = self._timeouts.idle_s if self.started else self._timeouts.first_byte_s
        due = min(self._seen_at + silent_s, self._ends_at)
        if now < due:
            self._timer = self._loop.call_at(due, self._look_at_clock)
        elif now >= self._ends_at:
            self.fail(LateError("The provider took too long to finish.", consumed=True))
        elif self.started:
            self.fail(LateError("The provider went silent.", consumed=True))
        else:
            self.fail(LateError("The provider did not answer in time.", consumed=True))


class Connection(asyncio.Protocol):
    """A keep-alive connection: one request at a time.

    on_idle is told when it is ready for the next one, on_lost when it is gone.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_idle: "Callable[[Connection], None]",
        on_lost: "Callable[[Connection], None]",
    ) -> None:
        self.loop = loop
        self.is_open = False
        self.used = 0
        self.idle_since = 0.0
        self._on_idle = on_idle
        self._on_lost = on_lost
        self._reply: Reply | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[bytes, bytes] = {}
        self._parts: list[bytes] = []
        self._head_bytes = 0
        self._wire_bytes = 0
        self._ends_with_connection = False

    def send(self, message: bytes, timeouts: Timeouts) -> Reply:
        """Write a request; its answer will arrive in what is returned."""
        assert self._reply is None, "one request at a time"
        self.used += 1
        self._head_bytes = self._wire_bytes = 0
        self._reply = reply = Reply(self, timeouts)
        self._transport.write(message)
        return reply

    @property
    def is_silent(self) -> bool:
        """Whether nothing at all came back for the last request."""
        return self._wire_bytes == 0

    def abort(self) -> None:
        self.is_open = False
        self._transport.abort()

    def pause(self) -> None:
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        reply = self._reply
        if reply is None:  # nobody asked
            self.abort()
            return
        self._wire_bytes += len(data)
        if not reply.started:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as problem:
            self._refuse(reply, problem)
            return
        if self._parts and self._was_tapped(reply):
            return
        if self._wire_bytes > WIRE_BYTES_MAX:
            reply.fail(OversizeError("The provider's answer is too large.", consumed=True))
        elif not reply.started and self._head_bytes > limits.HEADER_BYTES_MAX:
            reply.fail(OversizeError("The provider's headers are too large.", consumed=True))
        else:
            reply.touch()

    def _was_tapped(self, reply: Reply) -> bool:
        """Give what arrived to the answer; whether that is all there is to do."""
        piece = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        if reply.is_tapped(piece):
            return self._wire_bytes <= WIRE_BYTES_MAX
        if reply.feed(piece) and self._reply is not None:
            self._transport.pause_reading()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        reply, self._reply = self._reply, None
        if reply is not None:
            if exc is None and reply.started and self._ends_with_connection:
                reply.finish()
            else:
                reply.fail(CutError("The provider broke off its answer.", consumed=True))
        self._on_lost(self)
        del self._parser  # it holds this object, and would keep it until the next collection

    # httptools

    def on_message_begin(self) -> None:
        if self._reply is None:  # a second answer to one request
            raise FailedError("The provider sent more than one answer.", consumed=True)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > 2 * limits.HEADER_BYTES_MAX:
            raise OversizeError("The provider's headers are too large.", consumed=True)
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        headers, self._headers = self._headers, {}
        status = self._parser.get_status_code()
        if status < 200:  # 100 Continue, 103 Early Hints: the answer is still to come
            return
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise FailedError("The provider's answer is compressed.", consumed=True)
        self._ends_with_connection = (
            b"content-length" not in headers and b"transfer-encoding" not in headers
        )
        if self._reply is not None:
            self._reply.begin(status, headers)

    def on_body(self, body: bytes) -> None:
        self._parts.append(body)

    def on_message_complete(self) -> None:
        reply = self._reply
        if reply is None or not reply.started:
            return
        self._reply = None
        if self._parts:
            reply.feed(b"".join(self._parts))
            self._parts.clear()
        reply.finish()
        if self._parser.should_keep_alive() and not self._transport.get_write_buffer_size():
            self._transport.resume_reading()
            self.idle_since = self.loop.time()
            self._on_idle(self)
        else:
            self.abort()

    def _refuse(self, reply: Reply, problem: Exception) -> None:
        cause = problem.__context__ or problem.__cause__
        if isinstance(cause, ProviderError):
            reply.fail(cause)
        else:
            reply.fail(FailedError("The provider's answer is not HTTP.", consumed=True))
        self.abort()
