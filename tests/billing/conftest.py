"""A tenant per test and a gate on the test's own loop."""

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from django.conf import settings

from billing.database import Database
from billing.gate import Gate, GateSettings
from billing.reads import Reads
from billing.types import Ask, Bill, Payer
from config.kit import ids
from paywalls.models import ApiKey, Paywall, Team

TERMS = GateSettings(lease_s=30, heartbeat_s=3600, total_s=960)


@pytest.fixture
def payer() -> Payer:
    """A user nobody has seen, on a paywall of its own."""
    paywall = Paywall.objects.create(
        team=Team.objects.create(name="Team"), name="Test", mode=Paywall.Mode.DEFAULT
    )
    key = ApiKey.objects.create(
        paywall=paywall, name="k", hash=os.urandom(32), pepper=1, last_four="0000", livemode=True
    )
    return Payer(
        paywall_id=paywall.id,
        key_id=key.id,
        livemode=True,
        currency="USD",
        timezone="UTC",
        user="user_1",
    )


@pytest.fixture
async def database() -> AsyncIterator[Database]:
    """The hot path's pool, as the runtime role."""
    opened = Database(settings.DATABASE_URL, size=4)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def gate(database: Database) -> AsyncIterator[Gate]:
    """An open gate whose heart does not beat by itself."""
    opened = Gate(database, TERMS)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def reads(database: Database) -> Reads:
    return Reads(database, encryption_keys=(b"k" * 32,))


def ask(payer: Payer, want: int, least: int | None = None, **more: Any) -> Ask:
    """An ask for `want` nanos, all or nothing unless `least` is given."""
    made = Ask(
        request_id=ids.uuid7(),
        payer=payer,
        want_nanos=want,
        least_nanos=want if least is None else least,
        facts={"model": "demo/echo-1", "streamed": True},
    )
    return replace(made, **more)


def bill(asked: Ask, charge: int, **more: Any) -> Bill:
    """What a completed request comes to."""
    made = Bill(
        request_id=asked.request_id,
        payer=asked.payer,
        charge_nanos=charge,
        provider_cost_nanos=charge // 2,
        status="completed",
        policy="completed",
        usage={"prompt": 10, "completion": 5},
        usage_source="provider",
        model="demo/echo-1",
        connection_id=None,
        rate_id=None,
    )
    return replace(made, **more)


async def deposit(gate: Gate, payer: Payer, nanos: int) -> None:
    """Money for a user."""
    await gate.deposit(
        payer,
        transaction_id=ids.uuid7(),
        amount_nanos=nanos,
        expires_at=None,
        key=None,
        fingerprint=None,
        metadata=None,
    )
