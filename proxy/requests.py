"""One call of the public API, read and checked: what handlers get."""

import datetime as dt
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from billing.types import Payer
from config.kit import ids

if TYPE_CHECKING:
    from proxy.snapshot import Caller

type Message = MutableMapping[str, Any]
type Receive = Callable[[], Awaitable[Message]]
type Send = Callable[[Message], Awaitable[None]]
type PassOn = Callable[[bytes], bool]
"""Writes a piece of a body that has begun, at once; False: it must be sent as a message."""
type Headers = Mapping[str, str]
"""Names in lower case; values as Latin-1, which is what HTTP says they are."""


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """digest: of the header with its endpoint; fingerprint: of what was asked. 32 bytes each."""

    digest: bytes
    fingerprint: bytes


class Exchange:
    """A request from its first byte to the end of its answer, whatever becomes of it.

    status: of the answer that has begun; 0 before. facts: what the log line says.
    moves_money: its answer says in a header what was decided.
    """

    __slots__ = (
        "_send",
        "facts",
        "id_text",
        "moves_money",
        "receive",
        "request_id",
        "route",
        "scope",
        "started",
        "status",
    )

    def __init__(self, scope: Message, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.receive = receive
        self._send = send
        self.started = time.monotonic()
        self.request_id = ids.uuid7()
        self.id_text = ids.encode("req", self.request_id)
        self.route = "other"
        self.status = 0
        self.moves_money = False
        self.facts: dict[str, object] = {"request_id": self.id_text}

    def send(self, message: Message) -> Awaitable[None]:
        """Pass a message on, and note that the answer has begun."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
        return self._send(message)


@dataclass(slots=True, kw_only=True)
class Call:
    """One request whose caller, user, headers and body are known and in order.

    id_text: the request id as everyone outside sees it, `req_…`.
    route: the address as the documentation names it. parts: the values of its `{…}`.
    started: monotonic seconds. raw: the body as it came; body: the same, parsed.
    user: the end user's external id; empty where the route needs none.
    error_mode: refusals are HTTP 402 instead of assistant messages.
    max_cost_nanos: what the caller wants to spend at most, from X-Paywall-Max-Cost.
    pass_on: the server's short way for a stream's pieces, if it has one.
    warnings: sent as X-Paywall-Warning. facts: what the log line of the request says besides.
    """

    request_id: UUID
    id_text: str
    started: float
    started_at: dt.datetime
    method: str
    path: str
    route: str
    parts: Mapping[str, str]
    headers: Headers
    query: Mapping[str, str]
    caller: "Caller"
    receive: Receive
    send: Send
    pass_on: PassOn | None = None
    body: dict[str, object] = field(default_factory=dict)
    raw: bytes = b""
    user: str = ""
    feature: str = ""
    run: str = ""
    error_mode: bool = False
    max_cost_nanos: int | None = None
    idempotency: IdempotencyKey | None = None
    warnings: list[str] = field(default_factory=list)
    facts: dict[str, object] = field(default_factory=dict)
    _payer: Payer | None = None

    @property
    def payer(self) -> Payer:
        """Whose wallet pays, under which terms."""
        if self._payer is None:
            self._payer = self.caller.payer(self.user)
        return self._payer
