"""A chat against fakes: callers, calls and clients for the tests of the proxy's hot path."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

import orjson

from billing.webhooks.listening import NOBODY, Listening
from config.kit import clock, ids
from config.kit.money import NANOS
from paywalls.messages import DEFAULTS
from paywalls.pricing import Rates
from paywalls.types import KeyConfig, PaywallConfig, PriceList
from providers import catalog
from providers.adapters.base import Adapter
from providers.adapters.compatible import Compatible
from providers.errors import FailedError
from providers.types import CatalogModel, Endpoint, Policy, Timeouts
from providers.upstream import Upstream
from proxy import chat
from proxy.meter import Terms
from proxy.metrics import Metrics
from proxy.offers import Offer
from proxy.requests import Call, IdempotencyKey, Message
from proxy.services import Services
from tests.fakes.gate import FakeGate, FakeReads
from tests.fakes.upstream import FakeUpstream
from tests.support.patience import PATIENCE_S

RATES = Rates(prompt=1_000_000_000, completion=2_000_000_000)
"""1 and 2 units per million tokens: 1,000 and 2,000 nanos each."""

COST = Rates(prompt=500_000_000, completion=1_000_000_000)
PROMPT = "Say something."
TIMEOUTS = Timeouts(connect_s=1, first_byte_s=2, idle_s=2, total_s=5)


@dataclass
class Client:
    """The ASGI end of a client: keeps what it is sent, and can leave.

    body_sent: what it sends first. slow: it reads nothing after the head, as a full socket does.
    """

    body_sent: bytes | None = None
    messages: list[Message] = field(default_factory=list)
    slow: bool = False
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    got: asyncio.Event = field(default_factory=asyncio.Event)

    async def receive(self) -> Message:
        if self.body_sent is not None:
            body, self.body_sent = self.body_sent, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if self.slow and message["type"] == "http.response.body":
            await self.gone.wait()
        if not self.gone.is_set():
            self.messages.append(message)
            self.got.set()

    async def wait_events(self, count: int) -> None:
        """Wait until so many events have come."""
        async with asyncio.timeout(PATIENCE_S):
            while self.body.count(b"data:") < count:
                self.got.clear()
                await self.got.wait()

    @property
    def pieces(self) -> list[bytes]:
        return [m["body"] for m in self.messages if m["type"] == "http.response.body"]

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.messages[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def is_complete(self) -> bool:
        return bool(self.messages) and not self.messages[-1].get("more_body", False)

    @property
    def events(self) -> list[Any]:
        """The data of every event, parsed; `[DONE]` stays text."""
        lines = [line[6:] for line in self.body.splitlines() if line.startswith(b"data: ")]
        return [line.decode() if line == b"[DONE]" else orjson.loads(line) for line in lines]

    @property
    def text(self) -> str:
        """What the assistant said in a stream."""
        chunks = [event for event in self.events if isinstance(event, dict)]
        deltas = [choice["delta"] for chunk in chunks for choice in chunk.get("choices", ())]
        return "".join(delta.get("content") or "" for delta in deltas)


class NoUpstream:
    """A provider that no test may reach."""

    async def post(self, endpoint: Endpoint, path: str, body: bytes) -> Any:
        raise FailedError("no provider in this test")


def endpoint(
    url: str = "http://127.0.0.1:9/v1",
    *,
    name: str = "fake",
    adapter: Adapter | None = None,
    policy: Policy | None = None,
    timeouts: Timeouts = TIMEOUTS,
) -> Endpoint:
    authority, _, path = url.removeprefix("http://").partition("/")
    host, _, port = authority.partition(":")
    return Endpoint(
        connection_id=uuid4(),
        name=name,
        kind="compatible",
        adapter=adapter or Compatible(),
        scheme="http",
        host=host,
        port=int(port),
        base_path=f"/{path}",
        headers=b"",
        policy=policy or Policy(),
        timeouts=timeouts,
    )


def model(
    at: Endpoint, name: str = "model", *, cost: Rates | None = COST, **more: Any
) -> CatalogModel:
    fields: dict[str, Any] = {
        "display_name": name,
        "description": "",
        "context_tokens": None,
        "output_tokens_max": None,
        "created": 0,
    }
    return CatalogModel(
        id=f"{at.name}/{name}", upstream=name, endpoint=at, cost=cost, **(fields | more)
    )


@dataclass
class Snapshot:
    """Prices: of all models, or by model id. None: no price."""

    rates: Rates | None = RATES
    by_model: Mapping[str, Rates | None] = field(default_factory=dict)
    rate_id: UUID = field(default_factory=uuid4)
    listening: Listening = NOBODY
    stopped_modes: frozenset[bool] = frozenset()

    async def ask(self, question: Mapping[str, object]) -> str | None:
        return None

    async def rate_for(self, of: CatalogModel, feature: str) -> tuple[Rates, UUID] | None:
        rates = self.by_model.get(of.id, self.rates)
        return None if rates is None else (rates, self.rate_id)


@dataclass
class Troubles:
    """What the developer was told of refused provider keys, by connection."""

    noted: dict[UUID, str] = field(default_factory=dict)

    async def note_trouble(self, connection_id: UUID, trouble: str) -> None:
        self.noted[connection_id] = trouble


@dataclass
class Wall:
    """A paywall with one key, in memory, and what its chats go through."""

    models: list[CatalogModel] = field(default_factory=list)
    gate: FakeGate = field(default_factory=FakeGate)
    reads: FakeReads = field(default_factory=FakeReads)
    snapshot: Snapshot = field(default_factory=Snapshot)
    snapshots: Troubles = field(default_factory=Troubles)
    upstream: Any = field(default_factory=NoUpstream)
    metrics: Metrics = field(default_factory=Metrics)
    settings: dict[str, Any] = field(default_factory=dict)
    key_settings: dict[str, Any] = field(default_factory=dict)
    id: UUID = field(default_factory=uuid4)

    @property
    def services(self) -> Services:
        return cast(
            "Services",
            SimpleNamespace(
                gate=self.gate,
                reads=self.reads,
                upstream=self.upstream,
                snapshots=self.snapshots,
                metrics=self.metrics,
            ),
        )

    def caller(self) -> Any:
        prices = PriceList(version_id=uuid4(), number=1, rules=())
        paywall: dict[str, Any] = {
            "name": "Wall",
            "mode": "default",
            "currency": "usd",
            "livemode": True,
            "timezone": "UTC",
            "allowed_models": (),
            "graceful": False,
            "store_answers": False,
            "paused": False,
            "archived": False,
            "version": 1,
            "prices": prices,
            "user_caps": {},
            "paywall_caps": {},
            "aliases": {},
            "templates": dict(DEFAULTS),
        }
        key: dict[str, Any] = {
            "livemode": True,
            "scopes": frozenset(),
            "allowed_models": (),
            "external_user": None,
            "error_mode": False,
            "idempotency_required": False,
            "left": None,
            "caps": {},
        }
        config = PaywallConfig(id=self.id, **(paywall | self.settings))
        key_config = KeyConfig(id=uuid4(), paywall_id=self.id, **(key | self.key_settings))
        return CallerStub(config, key_config, self)

    def call(self, body: dict[str, Any], client: Client, **more: Any) -> Call:
        """A call as the edge makes it."""
        request_id = ids.uuid7()
        fields: dict[str, Any] = {
            "request_id": request_id,
            "id_text": ids.encode("req", request_id),
            "started": time.monotonic(),
            "started_at": clock.now(),
            "method": "POST",
            "path": "/v1/chat/completions",
            "route": "/v1/chat/completions",
            "parts": {},
            "headers": {},
            "query": {},
            "caller": self.caller(),
            "receive": client.receive,
            "send": client.send,
            "body": body,
            "raw": orjson.dumps(body),
            "user": "acme:user_1",
        }
        return Call(**(fields | more))

    async def chat(self, body: dict[str, Any] | None = None, **more: Any) -> Client:
        """Run a chat to its end; what the client got."""
        client = more.pop("client", None) or Client()
        await chat.complete(self.services, self.call(body or request(), client, **more))
        await self.gate.drained()
        return client


class CallerStub:
    """A caller without the database: the fields that chats read."""

    def __init__(self, paywall: PaywallConfig, key: KeyConfig, wall: Wall) -> None:
        self.paywall = paywall
        self.key = key
        self.catalogue = catalog.catalogue([], wall.models)
        self.snapshot = wall.snapshot

    def payer(self, user: str) -> Any:
        shared = self.paywall.mode == "shared"
        return SimpleNamespace(paywall_id=self.paywall.id, user=user, shared=shared)


def request(model_name: str = "model", *, stream: bool = False, **more: Any) -> dict[str, Any]:
    """The body of a chat."""
    body: dict[str, Any] = {
        "model": model_name,
        "messages": [{"role": "user", "content": PROMPT}],
        "user": "acme:user_1",
    }
    return body | ({"stream": True} if stream else {}) | more


def idempotency() -> IdempotencyKey:
    return IdempotencyKey(digest=b"d" * 32, fingerprint=b"f" * 32)


def terms(at: Endpoint | None = None, *, cost: Rates | None = COST, **more: Any) -> Terms:
    """What a meter goes by."""
    offer = Offer(model(at or endpoint(), cost=cost), RATES, uuid4())
    fields: dict[str, Any] = {
        "request": request(),
        "body_bytes": 100,
        "prompt_tokens": 1_000,
        "output_tokens": 4_096,
        "is_free": False,
        "usd_rate_nanos": NANOS,
    }
    return Terms(offer=offer, **(fields | more))


def wall_of(
    fake: FakeUpstream,
    upstream: Upstream,
    *,
    policy: Policy | None = None,
    timeouts: Timeouts = TIMEOUTS,
) -> Wall:
    at = endpoint(fake.url, policy=policy, timeouts=timeouts)
    return Wall(models=[model(at)], upstream=upstream)
