"""Chats over HTTP on the running product, and what it says of them afterwards."""

from typing import Any

import httpx
import orjson

from config.kit.money import parse_nanos
from tests.support.chats import request
from tests.support.product import MODEL, Shop


async def chat(
    http: httpx.AsyncClient,
    shop: Shop,
    user: str,
    model: str = MODEL,
    *,
    headers: dict[str, str] | None = None,
    **more: Any,
) -> httpx.Response:
    """One chat to its end. more: fields of the body."""
    body = request(model) | {"user": user} | more
    sent = shop.headers | (headers or {})
    return await http.post(f"{shop.api}/chat/completions", json=body, headers=sent)


async def looked_up(http: httpx.AsyncClient, shop: Shop, answer: httpx.Response) -> dict[str, Any]:
    """What `GET /v1/requests/{id}` says of an answer's request; `cost` in nanos."""
    address = f"{shop.api}/requests/{answer.headers['x-request-id']}"
    found: dict[str, Any] = (await http.get(address, headers=shop.headers)).json()
    return found | {"cost": parse_nanos(found["cost"])}


def chunk(text: str | None = None, *, finish: str | None = None, **more: Any) -> bytes:
    """One event of a stream. more: fields of its delta."""
    delta = ({"content": text} if text is not None else {}) | more
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return event(choices=[choice])


def event(**fields: Any) -> bytes:
    """One event with these fields beside the usual ones."""
    chunk = {"id": "chatcmpl-fake", "object": "chat.completion.chunk", "created": 1, **fields}
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


def said(answer: httpx.Response) -> list[Any]:
    """The data of each event of a stream, parsed; `[DONE]` stays text."""
    lines = [line.removeprefix("data: ") for line in answer.text.splitlines()]
    return [
        line if line == "[DONE]" else orjson.loads(line)
        for line in lines
        if line.startswith(("{", "[DONE]"))
    ]
