"""Deadlocks and serialization failures are the gate's business, not the caller's."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import psycopg
import pytest
from psycopg import sql

from billing.database import Database, retries
from billing.gate import Gate
from config.dev.servers import APP_ROLE
from paywalls.decisions import Allowed
from tests.billing.conftest import TERMS, ask, bill, deposit
from tests.billing.test_locks import waiting
from tests.support.environment import database_name

WALLET = """
    SELECT FROM ledger_account a JOIN paywalls_enduser u ON u.wallet_id = a.id
    WHERE u.paywall_id = %s FOR NO KEY UPDATE OF a
"""
COUNTER = "SELECT FROM ledger_counter WHERE id = %s FOR NO KEY UPDATE"

pytestmark = pytest.mark.proves("F40")


async def test_a_deadlock_is_tried_again(gate, payer, owner, runtime):
    """Somebody has what the gate wants next, and wants what it has: PostgreSQL ends the first."""
    capped = replace(payer, paywall_caps={"requests_day": 100})
    await deposit(gate, capped, 1_000)
    await gate.reserve(ask(capped, 10))
    before = retries["40P01"]
    with owner.transaction():
        owner.execute(COUNTER, [payer.paywall_id])
        asking = asyncio.ensure_future(gate.reserve(ask(capped, 10)))
        await waiting(runtime)
        await asyncio.to_thread(owner.execute, WALLET, [payer.paywall_id])
    assert isinstance(await asking, Allowed)
    assert retries["40P01"] == before + 1


@contextmanager
def strictly_isolated() -> Iterator[None]:
    """New connections of the product see one state per statement's transaction, or fail."""
    role, database = sql.Identifier(APP_ROLE), sql.Identifier(database_name())
    change = sql.SQL("ALTER ROLE {} IN DATABASE {} {} default_transaction_isolation {}")
    with psycopg.connect(os.environ["TEST_ADMIN_URL"], autocommit=True) as admin:
        level = sql.SQL("= 'repeatable read'")
        admin.execute(change.format(role, database, sql.SQL("SET"), level))
        yield
        admin.execute(change.format(role, database, sql.SQL("RESET"), sql.SQL("")))


async def test_a_serialization_failure_is_tried_again(database: Database, payer, owner, runtime):
    with strictly_isolated():
        gate = Gate(database, TERMS)
        await gate.open()
        await deposit(gate, payer, 1_000)
        asked = ask(payer, 300)
        await gate.reserve(asked)
        before = retries["40001"]
        with owner.transaction():
            owner.execute(
                "UPDATE ledger_account SET posted = posted WHERE id = ("
                " SELECT wallet_id FROM paywalls_enduser WHERE paywall_id = %s)",
                [payer.paywall_id],
            )
            settling = asyncio.ensure_future(gate.settle(bill(asked, 250)))
            await waiting(runtime)
        assert (await settling).charged_nanos == 250
        assert retries["40001"] == before + 1
        await gate.close()
