"""Just enough ASGI: a request whole, an answer whole."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import orjson

from tests.fakes.stripe.errors import ApiError

BODY_BYTES_MAX = 4 * 1024 * 1024

type Scope = dict[str, Any]
type Receive = Callable[[], Awaitable[dict[str, Any]]]
type Send = Callable[[dict[str, Any]], Awaitable[None]]


@dataclass(frozen=True)
class Request:
    """One request, read to its end."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    receive: Receive

    @property
    def base_url(self) -> str:
        return f"http://{self.headers.get('host', 'localhost')}"

    def json(self) -> dict[str, Any]:
        """The body of a `_test` call; nothing is an empty object.

        Raises: ApiError
        """
        try:
            value = orjson.loads(self.body or b"{}")
        except orjson.JSONDecodeError:
            raise ApiError("The body must be JSON.") from None
        if not isinstance(value, dict):
            raise ApiError("The body must be a JSON object.")
        return value

    def form(self) -> dict[str, str]:
        """The fields of one of our own pages."""
        return {name: values[-1] for name, values in parse_qs(self.body.decode()).items()}

    async def gone(self) -> None:
        """Returns when the client hangs up."""
        while (await self.receive())["type"] != "http.disconnect":
            pass


@dataclass(frozen=True)
class Response:
    """One answer."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, value: Any, status: int = 200, **headers: str) -> "Response":
        body = orjson.dumps(value, option=orjson.OPT_INDENT_2)
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        return cls(status, body, {"content-type": "application/json", **named})

    @classmethod
    def html(cls, page: str, status: int = 200) -> "Response":
        headers = {"content-type": "text/html; charset=utf-8", "cache-control": "no-store"}
        return cls(status, page.encode(), headers)

    @classmethod
    def redirect(cls, url: str) -> "Response":
        return cls(303, b"", {"location": url})


async def read(scope: Scope, receive: Receive) -> Request:
    """Raises: ApiError for a body that is too large."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    body, more = bytearray(), True
    while more:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > BODY_BYTES_MAX:
            raise ApiError("Request body too large.")
        more = message.get("more_body", False)
    query = scope["query_string"].decode("latin-1")
    return Request(scope["method"], scope["path"], query, headers, bytes(body), receive)


async def write(send: Send, response: Response) -> None:
    headers = {**response.headers, "content-length": str(len(response.body))}
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": response.status, "headers": raw})
    await send({"type": "http.response.body", "body": response.body})
