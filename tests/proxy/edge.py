"""Speaks ASGI to the public API directly, so that tests can send what no HTTP client would."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import orjson

from proxy.asgi import Application
from proxy.requests import Message

JSON = (b"content-type", b"application/json")


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def code(self) -> str:
        code: str = self.json["error"]["code"]
        return code


async def send(
    app: Application,
    method: str,
    address: str,
    *,
    body: bytes | object = b"",
    headers: Sequence[tuple[bytes, bytes]] = (),
    pieces: Sequence[bytes] | None = None,
    client: tuple[str, int] | None = ("127.0.0.1", 1),
) -> Answer:
    """One request. body: bytes as they are, else JSON. pieces: the body in several messages."""
    path, _, query = address.partition("?")
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    incoming = [
        {"type": "http.request", "body": piece, "more_body": True} for piece in pieces or ()
    ]
    incoming.append({"type": "http.request", "body": raw, "more_body": False})
    sent: list[Message] = []

    async def receive() -> dict[str, Any]:
        if not incoming:
            await asyncio.Event().wait()  # The client stays, and has said everything.
        return incoming.pop(0)

    async def take(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": list(headers),
        "client": client,
    }
    await app(scope, receive, take)
    if not sent:
        return Answer(0, {}, b"")
    return Answer(
        sent[0]["status"],
        {name.decode(): value.decode() for name, value in sent[0]["headers"]},
        b"".join(message.get("body", b"") for message in sent[1:]),
    )


@asynccontextmanager
async def running(app: Application) -> AsyncIterator[Application]:
    """The application between the two ends of its lifespan."""
    incoming: asyncio.Queue[Message] = asyncio.Queue()
    outgoing: asyncio.Queue[Message] = asyncio.Queue()
    life = asyncio.create_task(app({"type": "lifespan"}, incoming.get, outgoing.put))
    await incoming.put({"type": "lifespan.startup"})
    assert (await outgoing.get())["type"] == "lifespan.startup.complete"
    try:
        yield app
    finally:
        await incoming.put({"type": "lifespan.shutdown"})
        await life
