"""A paywall with an owner, and a receiver that can be told."""

import asyncio
import datetime as dt
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.conf import settings
from django.db import connection, transaction

from billing.webhooks import subscriptions
from billing.webhooks.deliver import Deliverer
from billing.webhooks.models import Subscription
from billing.webhooks.network import Poster
from config.kit import clock, egress
from paywalls.models import Paywall
from tests.factories import ACTOR, MembershipFactory, PaywallFactory
from tests.fakes.sink import Sink

SECRET = "0123456789abcdef-secret"


@pytest.fixture(autouse=True)
def _nothing_else_is_due() -> None:
    """What other tests left behind is not delivered in this one."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE billing_delivery SET status = 'error' WHERE status = 'pending'")


@pytest.fixture
def paywall() -> Paywall:
    """With an owner."""
    made = PaywallFactory.create()
    MembershipFactory.create(team=made.team)
    return made


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as running:
        yield running


@pytest.fixture
def subscribe(paywall: Paywall) -> Callable[..., Subscription]:
    """Subscribes an address of this test's paywall to events."""

    def make(url: str, *events: str, **more: Any) -> Subscription:
        draft = subscriptions.Draft(url=url, events=list(events) or ["*"], secret=SECRET, **more)
        with transaction.atomic():
            return subscriptions.create(paywall, draft, actor=ACTOR)[0]

    return make


@pytest.fixture(scope="session")
def self_signed(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """What a server has whose certificate nobody signed but itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = clock.now()
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def deliver(*, timeout_s: float = 5, run_s: float = 10, **options: Any) -> dict[str, int]:
    """One run of the worker's task; what became of the deliveries."""

    async def run() -> dict[str, int]:
        rules = egress.policy(["127.0.0.0/8"])
        async with Poster(rules, timeout_s=timeout_s, **options) as poster:
            deliverer = Deliverer(poster, run_s=run_s)
            await deliverer.run(settings.DATABASE_DIRECT_URL)
            return dict(deliverer.counts)

    return asyncio.run(run())


def hurry() -> None:
    """Make every retry due now."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE billing_delivery SET due_at = clock_timestamp() WHERE status = 'pending'"
        )
