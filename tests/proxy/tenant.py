"""A paywall that calls the public API."""

import asyncio
from dataclasses import dataclass, field

from asgiref.sync import sync_to_async
from django.db import connection

from config.kit import ids
from paywalls.models import ApiKey, Paywall
from proxy.asgi import Application
from proxy.snapshot import Snapshots
from tests.factories import PaywallFactory, PriceVersionFactory, make_key
from tests.proxy import edge
from tests.proxy.edge import Answer
from tests.support.patience import PATIENCE_S


@dataclass
class Tenant:
    """A paywall with a key, and a user nobody has seen."""

    app: Application
    paywall: Paywall
    key: ApiKey
    token: str
    user: str = field(default_factory=lambda: f"user_{ids.uuid7().hex}")

    @property
    def bearer(self) -> tuple[bytes, bytes]:
        return (b"authorization", f"Bearer {self.token}".encode())

    async def get(self, address: str, *headers: tuple[bytes, bytes]) -> Answer:
        return await edge.send(self.app, "GET", address, headers=[self.bearer, *headers])

    async def post(self, address: str, body: object, *headers: tuple[bytes, bytes]) -> Answer:
        sent = [self.bearer, edge.JSON, *headers]
        return await edge.send(self.app, "POST", address, body=body, headers=sent)

    async def balance(self, user: str = "") -> str:
        answer = await self.get(f"/v1/user/balance?user={user or self.user}")
        assert answer.status == 200, answer.body
        balance: str = answer.json["balance"]
        return balance


def make_tenant(app: Application, **fields) -> Tenant:
    """With prices, a key that may do everything, and a user of its own."""
    paywall = PaywallFactory.create()
    PriceVersionFactory.create(paywall=paywall)
    return Tenant(app, paywall, *make_key(paywall), **fields)


async def heard(snapshots: Snapshots) -> None:
    """Returns when all changes so far have been heard of."""
    marker = ids.uuid7()

    def mark():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify('paywalls_config', %s)", [str(marker)])

    async with asyncio.timeout(PATIENCE_S):
        await sync_to_async(mark)()
        while marker not in snapshots._dropped:  # noqa: ASYNC110 - nothing to wait on
            await asyncio.sleep(0.001)
