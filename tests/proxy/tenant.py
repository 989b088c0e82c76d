"""A paywall that calls the public API."""

from dataclasses import dataclass, field

from config.kit import ids
from paywalls.models import ApiKey, Paywall
from proxy.asgi import Application
from tests.factories import PaywallFactory, PriceVersionFactory, make_key
from tests.proxy import edge
from tests.proxy.edge import Answer


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
        return answer.json["balance"]


def make_tenant(app: Application, **fields) -> Tenant:
    """With prices, a key that may do everything, and a user of its own."""
    paywall = PaywallFactory.create()
    PriceVersionFactory.create(paywall=paywall)
    return Tenant(app, paywall, *make_key(paywall), **fields)
