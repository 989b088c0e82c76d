"""Batches lock in one order, so that none waits for another that waits for it."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from asgiref.sync import sync_to_async

from billing.database import persistently
from billing.gate import Gate
from billing.types import Payer
from config.kit import ids
from paywalls.models import ApiKey, Paywall, Team
from tests.billing.conftest import TERMS, ask, bill, deposit
from tests.support.patience import PATIENCE_S

USERS = 8
CAPS = {"requests_day": 10**9}


@pytest.fixture
async def second(database) -> AsyncIterator[Gate]:
    """Another process's gate, on the same pool."""
    gate = Gate(database, TERMS)
    yield gate
    for line in gate._lines.values():
        await line.close()


@pytest.fixture
def deadlocks(monkeypatch) -> list[Exception]:
    """Those that the database ended, after a second each; the gate tries again, so none is seen."""
    found: list[Exception] = []

    async def watched[T](once: Callable[[], Awaitable[T]], *, within_s: float) -> T:
        async def noting() -> T:
            try:
                return await once()
            except psycopg.errors.DeadlockDetected as error:
                found.append(error)
                raise

        return await persistently(noting, within_s=within_s)

    monkeypatch.setattr("billing.gate.persistently", watched)
    return found


def another(payer: Payer) -> Payer:
    """A payer on a paywall of its own."""
    paywall = Paywall.objects.create(
        team=Team.objects.create(name="Other"), name="Other", mode=Paywall.Mode.DEFAULT
    )
    key = ApiKey.objects.create(
        paywall=paywall, name="k", hash=os.urandom(32), pepper=1, last_four="0000", livemode=True
    )
    return replace(payer, paywall_id=paywall.id, key_id=key.id)


@pytest.fixture
async def users(gate, payer) -> list[Payer]:
    """Users with money: one without caps, then one of each of two paywalls, the later one first."""
    later = await sync_to_async(another)(payer)
    capped = [replace(each, user="capped", paywall_caps=CAPS) for each in (later, payer)]
    for user in (payer, *capped):
        await deposit(gate, user, 1_000)
        asked = ask(user, 10)
        await gate.reserve(asked)
        await gate.settle(bill(asked, 1))
    return [payer, *capped]


async def meet(
    owner: psycopg.Connection,
    runtime: psycopg.Connection,
    users: list[Payer],
    calls: list[Awaitable[Any]],
) -> None:
    """Run calls against somebody who locks the counters of two paywalls in id order.

    The first call is kept waiting until the others are there, so that these go in one batch.
    """
    _, last, first = [user.paywall_id for user in users]
    assert first < last
    lock = "SELECT FROM ledger_counter WHERE id = %s FOR NO KEY UPDATE"
    with owner.transaction():
        owner.execute(lock, [first])
        with owner.transaction(force_rollback=True):
            owner.execute(
                "SELECT FROM ledger_account a JOIN paywalls_enduser u ON u.wallet_id = a.id"
                " WHERE u.paywall_id = %s AND u.external_id = %s FOR NO KEY UPDATE OF a",
                [users[0].paywall_id, users[0].user],
            )
            leading, *batch = map(asyncio.ensure_future, calls)
            await waiting(runtime)
        await leading
        await waiting(runtime)
        owner.execute(lock, [last])
    await asyncio.gather(*batch)


async def waiting(runtime: psycopg.Connection) -> None:
    """Returns when somebody waits for a row."""
    query = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    async with asyncio.timeout(PATIENCE_S):
        while runtime.execute(query).fetchone() == (0,):  # noqa: ASYNC110 - Of the database.
            await asyncio.sleep(0.01)


async def test_holds(gate, owner, runtime, users, deadlocks):
    await meet(owner, runtime, users, [gate.reserve(ask(user, 10)) for user in users])
    assert deadlocks == []


async def test_settlements(gate, owner, runtime, users, deadlocks):
    asks = [ask(user, 10) for user in users]
    for asked in asks:
        await gate.reserve(asked)
    await meet(owner, runtime, users, [gate.settle(bill(asked, 1)) for asked in asks])
    assert deadlocks == []


async def test_manual_charges(gate, owner, runtime, users, deadlocks):
    more = {"amount_nanos": 1, "key": None, "fingerprint": None, "metadata": None}
    calls = [gate.charge(user, transaction_id=ids.uuid7(), **more) for user in users]
    await meet(owner, runtime, users, calls)
    assert deadlocks == []


async def test_two_processes_that_both_see_users_for_the_first_time(gate, second, payer, deadlocks):
    users = [
        replace(payer, user=f"new{number}", trial_nanos=100, paywall_caps=CAPS)
        for number in range(USERS)
    ]
    for each in (gate, second):
        await each.reserve(ask(payer, 10))  # Knows the paywall from now on.
    await asyncio.gather(
        *(gate.reserve(ask(user, 10)) for user in users),
        *(second.reserve(ask(user, 10)) for user in reversed(users)),
    )
    assert deadlocks == []
