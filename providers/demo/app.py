"""The demo provider as an ASGI application: `uvicorn providers.demo.app:app`.

It speaks the OpenAI shape (chat, models) and needs neither key nor Django. Model names choose how
it misbehaves, see `providers.demo.models`. DEMO_WORD_MS is its pace in a stream (15).
"""

import asyncio
import itertools
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any, Final

import orjson

from providers import tokens
from providers.demo import requests, wire
from providers.demo.answers import Answer, answer, words
from providers.demo.models import MODELS

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

BODY_BYTES_MAX: Final = 16 * 1024 * 1024
WORD_MS_DEFAULT: Final = 15
SLOWER: Final = 10
RETRY_AFTER_S: Final = 2
GARBAGE: Final = b"<html>data: {not json\n\n\xff\xfe</html>\n"


class ClientGoneError(Exception):
    """The caller closed the connection."""


class Demo:
    """The application. word_s: seconds between two words of a stream."""

    def __init__(self, word_s: float) -> None:
        self._word_s = word_s
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            try:
                await self._respond(scope, receive, send)
            except ClientGoneError:
                return

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = (scope["method"], scope["path"])
        if route == ("GET", "/healthz"):
            await _json(send, 200, {"status": "ok"})
        elif route == ("GET", "/v1/models"):
            await _json(send, 200, wire.model_list(int(time.time())))
        elif route == ("POST", "/v1/chat/completions"):
            await self._chat(await _body(receive), receive, send)
        else:
            await _json(send, 404, wire.error("There is nothing here.", code="not_found"))

    async def _chat(self, body: bytes | None, receive: Receive, send: Send) -> None:
        request = requests.read(body)
        if request is None:
            await _json(send, 400, wire.error("The body must be a chat completion request."))
            return
        model = request["model"]
        if model not in MODELS:
            found = wire.error(f"There is no model {model!r} here.", code="model_not_found")
            await _json(send, 404, found)
        elif model == "echo-1-500":
            await _json(send, 500, wire.error("The demo model failed, as its name says."))
        elif model == "echo-1-429":
            wait = [(b"retry-after", b"%d" % RETRY_AFTER_S)]
            await _json(send, 429, wire.error("Too many requests.", code="rate_limited"), wait)
        elif model == "echo-1-garbage":
            await _whole(send, 200, GARBAGE, [(b"content-type", b"text/html")])
        else:
            said = await asyncio.to_thread(answer, request)
            head = wire.Head(f"chatcmpl-demo-{next(self._numbers)}", int(time.time()), model)
            if request.get("stream"):
                await self._stream(request, said, head, (receive, send))
            else:
                await self._once(said, head, send)

    async def _once(self, said: Answer, head: wire.Head, send: Send) -> None:
        if said.model == "echo-1-slow":
            count = sum(len(words(choice.text)) for choice in said.choices)
            await asyncio.sleep(count * self._word_s * SLOWER)
        body = orjson.dumps(wire.completion(said, head))
        if said.model == "echo-1-cut":
            start = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
            await send({"type": "http.response.start", "status": 200, "headers": start})
            half = body[: len(body) // 2]
            await send({"type": "http.response.body", "body": half, "more_body": True})
            return  # without the rest: the server closes the connection
        await _whole(send, 200, body, [(b"content-type", b"application/json")])

    async def _stream(
        self,
        request: dict[str, Any],
        said: Answer,
        head: wire.Head,
        channel: tuple[Receive, Send],
    ) -> None:
        receive, send = channel
        pace_s = self._word_s * (SLOWER if said.model == "echo-1-slow" else 1)
        options = request.get("stream_options") or {}
        usage = bool(options.get("include_usage")) and said.model != "echo-1-no-usage"
        gone = asyncio.ensure_future(receive())
        try:
            start = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")]
            await send({"type": "http.response.start", "status": 200, "headers": start})
            events = list(wire.events(said, head, usage=usage))
            if said.model == "echo-1-cut":
                events = events[: len(events) // 2]
            async for event in _paced(events, pace_s, gone):
                await send({"type": "http.response.body", "body": event, "more_body": True})
            if said.model != "echo-1-cut":
                await send({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()


def create_app() -> Demo:
    """The application with its pace from the environment."""
    word_ms = float(os.environ.get("DEMO_WORD_MS") or WORD_MS_DEFAULT)
    return Demo(word_s=word_ms / 1_000)


app = create_app()


async def _paced(
    events: list[bytes], pace_s: float, gone: "asyncio.Future[Message]"
) -> AsyncIterator[bytes]:
    """The events at their pace, as long as somebody listens.

    Raises: ClientGoneError.
    """
    for event in events:
        yield event
        if pace_s:
            await asyncio.wait((gone,), timeout=pace_s)
        if gone.done():
            raise ClientGoneError


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await asyncio.to_thread(tokens.warm)
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _body(receive: Receive) -> bytes | None:
    """The request's body, or None when it is too large.

    Raises: ClientGoneError.
    """
    parts = []
    left = BODY_BYTES_MAX
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        part = message.get("body", b"")
        left -= len(part)
        if left < 0:
            return None
        parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts)


async def _json(
    send: Send, status: int, value: object, headers: list[tuple[bytes, bytes]] | None = None
) -> None:
    body = orjson.dumps(value)
    await _whole(send, status, body, [(b"content-type", b"application/json"), *(headers or [])])


async def _whole(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    sized = [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": sized})
    await send({"type": "http.response.body", "body": body})
