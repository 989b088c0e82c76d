"""Passes a provider's answer on as it comes, and looks only at what must be seen.

A stream's `[DONE]` is not passed: delivery.py sends it, once the charge is committed.
"""

import asyncio
import re
from typing import Any, Final

from config.kit.limits import SSE_EVENT_BYTES_MAX
from providers.adapters.base import Adapter
from providers.errors import CutError, FailedError, OversizeError, ProviderError
from providers.upstream import Reply
from proxy import sse
from proxy.chat_errors import BudgetExhaustedError
from proxy.dispatch import Dispatch
from proxy.messages import STREAM_HEADERS
from proxy.meter import Meter, parsed
from proxy.responses import base_headers, money_headers
from proxy.watch import Watch

PROVIDERS_OWN: Final = ("cost", "cost_details", "is_byok")
"""What some providers add to a usage: their price, which is not the user's."""

OWN_NAMES: Final = re.compile(b'"(?:%b)"' % "|".join(PROVIDERS_OWN).encode())

BURST_S: Final = 0.0005
"""Events that come faster than this go on together: a send for each costs more than all else. What
comes at the pace of tokens is never held."""

EVENT_STREAM: Final = b"text/event-stream"
_TELLING: Final = re.compile(rb'"usage"\s*:\s*\{|"error"\s*:\s*[{"]')


class Sieve:
    """Lets events through, and keeps back what the client must not see (yet).

    usage_chunk: the chunk of usage without choices, kept back until the charge is known.
    failure: what the provider said in an error event. garbage: lines that were dropped.
    """

    def __init__(self, adapter: Adapter, meter: Meter, *, shows_usage: bool) -> None:
        self.is_done = False
        self.failure: ProviderError | None = None
        self.usage_chunk: dict[str, Any] | None = None
        self.garbage = 0
        self._adapter = adapter
        self._meter = meter
        self._shows_usage = shows_usage
        self._cutter = sse.Cutter()

    @property
    def has_ended(self) -> bool:
        """Whether nothing that still comes matters."""
        return self.is_done or self.failure is not None

    def feed(self, piece: bytes) -> bytes:
        """What of a piece, and of what was kept before, may go to the client now.

        Raises: OversizeError for an event that does not end.
        """
        if self.lets_pass(piece):
            return piece
        if self._cutter.kept_bytes > SSE_EVENT_BYTES_MAX:
            raise OversizeError("The provider sent an event that is too large.", consumed=True)
        return self._sift(self._cutter.feed(piece))

    def lets_pass(self, piece: bytes) -> bool:
        """Whether a piece may go on as it is: whole plain events after whole events."""
        return not self._cutter.kept_bytes and not self.has_ended and _is_dull(piece)

    def rest(self) -> bytes:
        """What may go to the client of an event that the end of the stream ended."""
        return self._sift(self._cutter.rest())

    def _sift(self, block: bytes) -> bytes:
        if not block or self.has_ended:
            return b""
        if _is_dull(block):
            return block
        head = _dull_head(block)
        rest = [self._judge(event) for event in sse.split(block[len(head) :])]
        return b"".join([head, *rest])

    def _judge(self, event: bytes) -> bytes:
        """What of one event may go on."""
        if self.has_ended:
            return b""
        if _is_dull(event):
            return event
        found = sse.read(event)
        self.garbage += found.garbage
        if found.data is None:
            return found.sound if found.sound.strip() else b""
        if found.data.strip() == b"[DONE]":
            self.is_done = True
            return b""
        return self._judge_chunk(parsed(found.data), found)

    def _judge_chunk(self, chunk: dict[str, Any] | None, found: sse.Event) -> bytes:
        if chunk is None:
            self.garbage += 1
        elif chunk.get("error"):
            said = self._adapter.error(502, {}, found.data or b"")
            self.failure = FailedError(said.message, consumed=True)
        elif chunk.get("usage"):
            return self._without_usage(chunk, found.sound)
        else:
            return found.sound
        return b""

    def _without_usage(self, chunk: dict[str, Any], event: bytes) -> bytes:
        self._meter.report(chunk)
        if not chunk.get("choices"):
            self.usage_chunk = chunk
            return b""
        users = users_part(chunk["usage"])
        if self._shows_usage and users == chunk["usage"]:
            return event
        shown = {"usage": users} if self._shows_usage else {}
        del chunk["usage"]
        return sse.write(chunk | shown)


def users_part(usage: dict[str, Any]) -> dict[str, Any]:
    """A usage without the provider's own price."""
    return {name: value for name, value in usage.items() if name not in PROVIDERS_OWN}


def _is_dull(block: bytes) -> bool:
    """Whether these are plain events that tell nothing but the answer: nearly all of them are."""
    if not sse.is_plain(block):
        return False
    return not ((b'"usage"' in block or b'"error"' in block) and _TELLING.search(block))


def _dull_head(block: bytes) -> bytes:
    """The events before the first that tells something, when they are dull as a whole."""
    telling = _TELLING.search(block)
    done = block.find(b"[DONE]")
    end = min(telling.start() if telling else len(block), done if done >= 0 else len(block))
    boundary = block.rfind(b"\n\n", 0, end)
    head = block[: boundary + 2] if boundary >= 0 else b""
    return head if head and _is_dull(head) else b""


def is_stream(reply: Reply) -> bool:
    """Whether an answer is made of events, by what it says of itself."""
    return reply.headers.get(b"content-type", EVENT_STREAM).strip().lower().startswith(EVENT_STREAM)


async def stream(dispatch: Dispatch, reply: Reply, sieve: Sieve, watch: Watch) -> None:
    """Pass a stream on until it is whole. One send for what came in one piece.

    Raises: CutError, LateError, OversizeError, FailedError (what the provider said),
    BudgetExhaustedError.
    """
    meter = dispatch.meter
    assert meter is not None, "nobody was asked"
    short = _ShortWay(dispatch, reply, sieve, watch)
    reply.tap = short.takes
    try:
        await _pump(dispatch, reply, sieve, watch, short)
    finally:
        reply.tap = None
    if sieve.failure is not None:
        raise sieve.failure
    # Some providers never send [DONE]; then the reasons why the choices ended must all be there.
    if not sieve.is_done and not meter.is_finished(dispatch.plan.chat.choices):
        raise CutError("The provider broke off its answer.", consumed=True)


async def _pump(
    dispatch: Dispatch, reply: Reply, sieve: Sieve, watch: Watch, short: "_ShortWay"
) -> None:
    loop = asyncio.get_running_loop()
    async for piece in reply:
        if short.is_too_much:
            raise BudgetExhaustedError
        block = sieve.feed(piece)
        if block:
            await _pass(dispatch, block, watch)
        if sieve.has_ended:
            return
        if loop.time() - short.last < BURST_S:
            await reply.gather(BURST_S)
        short.last = loop.time()
    block = sieve.rest()
    if block:
        await _pass(dispatch, block, watch)


class _ShortWay:
    """Plain events that come one by one go from socket to socket, and the stream's task sleeps on.

    last: when events last went on; what comes within BURST_S of that is the task's to gather.
    is_too_much: the provider sent more than the hold pays for; the task is woken to say so.
    """

    def __init__(self, dispatch: Dispatch, reply: Reply, sieve: Sieve, watch: Watch) -> None:
        assert dispatch.meter is not None, "nobody was asked"
        self.last = 0.0
        self.is_too_much = False
        self._dispatch = dispatch
        self._reply = reply
        self._meter = dispatch.meter
        self._sieve = sieve
        self._watch = watch
        self._pass_on = dispatch.call.pass_on
        self._now = asyncio.get_running_loop().time

    def takes(self, piece: bytes) -> bool:
        """Whether the piece was passed on here."""
        now = self._now()
        if (
            now - self.last < BURST_S
            or self._pass_on is None
            or not self._dispatch.has_started
            or self._watch.is_gone
            or not self._sieve.lets_pass(piece)
            or not self._pass_on(piece)
        ):
            return False
        self.last = now
        if self._dispatch.kept is not None:
            self._dispatch.keep(piece)
        if self._meter.took(piece):
            self.is_too_much = True
            self._reply.feed(b"")
        return True


async def _pass(dispatch: Dispatch, block: bytes, watch: Watch) -> None:
    meter = dispatch.meter
    assert meter is not None, "nobody was asked"
    is_too_much = meter.took(block)
    if dispatch.kept is not None:
        dispatch.keep(block)
    if not watch.is_gone:
        if not dispatch.has_started:
            await start_stream(dispatch)
        await dispatch.call.send({"type": "http.response.body", "body": block, "more_body": True})
    if is_too_much:
        raise BudgetExhaustedError


async def start_stream(dispatch: Dispatch) -> None:
    """Send the head of a stream. From here on nothing is tried again."""
    dispatch.begin()
    head = [*STREAM_HEADERS, *base_headers(dispatch.call), *money_headers("allowed")]
    await dispatch.call.send({"type": "http.response.start", "status": 200, "headers": head})


async def whole(reply: Reply, meter: Meter) -> bytes:
    """A whole answer in JSON, looked into but not changed.

    Raises: CutError, LateError, OversizeError, FailedError when it is no chat completion.
    """
    body = await reply.read()
    answer = parsed(body)
    if answer is None or not isinstance(answer.get("choices"), list):
        raise FailedError("The provider's answer is no chat completion.", consumed=True)
    meter.took_answer(answer, len(body))
    return body


def failure_event(payload: bytes) -> bytes:
    """The event that ends a stream which is not whole. payload: an error object as JSON."""
    return b"event: error\ndata: %b\n\n" % payload
