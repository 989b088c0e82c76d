"""Signed deliveries of events to endpoints: retried, and disturbed as a test wants it."""

import asyncio
import hashlib
import hmac
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
import orjson

from tests.fakes.stripe.expand import public
from tests.fakes.stripe.world import Realm, Thing, World, new_id

TIMEOUT_S = 10
IDLE_S = 0.2
RETRIES_TEST_S: Final = (10, 600, 3600)
RETRIES_LIVE_S: Final = (10, 300, 1800, 7200, 18_000, 36_000, 43_200, 43_200, 43_200)
"""Seconds to each next attempt. Source: stripe.com/docs/webhooks: three days live, three tries in a
sandbox; the intervals themselves are not published."""


def signature(body: bytes, secret: str, at: int | None = None) -> str:
    """The `Stripe-Signature` header. `at`: seconds since 1970 by the real clock."""
    moment = int(time.time()) if at is None else at
    signed = hmac.new(secret.encode(), b"%d." % moment + body, hashlib.sha256).hexdigest()
    return f"t={moment},v1={signed}"


def plan(world: World, realm: Realm, event: Thing) -> int:
    """Deliveries for every endpoint that wants the event; returns how many."""
    wanting = [
        endpoint
        for endpoint in world.realm(_listener(realm), livemode=realm.livemode).all(
            "webhook_endpoint"
        )
        if wants(endpoint, event["type"], is_connect="account" in event)
    ]
    for endpoint in wanting:
        add(world, realm, event, endpoint)
    return len(wanting)


def _listener(realm: Realm) -> str:
    return realm.platform or realm.account


def wants(endpoint: Thing, kind: str, *, is_connect: bool) -> bool:
    return (
        endpoint["status"] == "enabled"
        and endpoint["_connect"] == is_connect
        and bool({"*", kind} & set(endpoint["enabled_events"]))
    )


def add(world: World, realm: Realm, event: Thing, endpoint: Thing) -> dict[str, Any]:
    delivery = {
        "id": new_id("dlv_"),
        "event": event["id"],
        "type": event["type"],
        "endpoint": endpoint["id"],
        "account": realm.account,
        "livemode": realm.livemode,
        "due_at": world.now(),
        "state": "due",
        "statuses": [],
    }
    world.traffic.direct(delivery, world.now())
    world.deliveries[delivery["id"]] = delivery
    world.is_changed = True
    return delivery


@dataclass
class Dispatcher:
    """Sends what is due, each delivery in a task of its own."""

    world: World
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self) -> None:
        limits = httpx.Limits(max_connections=32)
        async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False, limits=limits) as client:
            self.client = client
            try:
                while True:
                    self.start_due()
                    await asyncio.sleep(IDLE_S)
            finally:
                await self.stop()

    async def stop(self) -> None:
        """Break off what is being sent; it is due again after a restart."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def start_due(self) -> None:
        now = self.world.now()
        for delivery in list(self.world.deliveries.values()):
            if delivery["state"] == "due" and delivery["due_at"] <= now:
                self.start(delivery)

    def start(self, delivery: dict[str, Any]) -> asyncio.Task[None]:
        delivery["state"] = "sending"
        task = asyncio.create_task(self.send(delivery))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def settled(self) -> None:
        """Returns once nothing that is due now is still to be sent."""
        self.start_due()
        while self.tasks:
            await asyncio.wait(self.tasks)
            self.start_due()

    async def send(self, delivery: dict[str, Any]) -> None:
        """One attempt; plans the next one if the endpoint does not answer with 2xx."""
        endpoint = self.world.find_endpoint(delivery["endpoint"])
        if endpoint is None or endpoint["status"] != "enabled":
            delivery["state"] = "failed"
            return
        body = self.body(delivery)
        status = await self.post(endpoint["url"], body, signature(body, endpoint["_secret"]))
        self.record(delivery, status)

    async def post(self, url: str, body: bytes, signed: str) -> int:
        """The answer's status; 0 without an answer."""
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        }
        if signed:
            headers["Stripe-Signature"] = signed
        with suppress(httpx.HTTPError, httpx.InvalidURL):
            return (await self.client.post(url, content=body, headers=headers)).status_code
        return 0

    def body(self, delivery: dict[str, Any]) -> bytes:
        realm = self.world.realm(delivery["account"], livemode=delivery["livemode"])
        shown = public(realm.find("event", delivery["event"]))
        return orjson.dumps(shown, option=orjson.OPT_INDENT_2)

    def record(self, delivery: dict[str, Any], status: int) -> None:
        delivery["statuses"].append(status)
        realm = self.world.realm(delivery["account"], livemode=delivery["livemode"])
        retries = RETRIES_LIVE_S if delivery["livemode"] else RETRIES_TEST_S
        if 200 <= status < 300:
            delivery["state"] = "done"
            event = realm.find("event", delivery["event"])
            event["pending_webhooks"] = max(0, event["pending_webhooks"] - 1)
        elif len(delivery["statuses"]) > len(retries):
            delivery["state"] = "failed"
        else:
            delivery["state"] = "due"
            delivery["due_at"] = self.world.now() + retries[len(delivery["statuses"]) - 1]
        self.world.is_changed = True
