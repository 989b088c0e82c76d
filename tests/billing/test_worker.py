"""The worker dies within a task, does one twice or not at all: the rows say what is left to do."""

import asyncio
import datetime as dt
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
import redis
from asgiref.sync import async_to_sync, sync_to_async
from celery.beat import Scheduler
from django.conf import settings
from django.db import connections
from django.db.models import Count, Q

from billing import movements, tasks
from billing.gate import Gate
from billing.types import Payer
from config.celery import TIMETABLE, app
from config.dev.process import Child
from config.kit import clock
from ledger.models import Account
from paywalls.models import EndUser, Paywall
from tests.billing.conftest import ask, deposit
from tests.fakes.wire import Wire
from tests.support.sources import ROOT
from tests.support.streams import until

WAITING_FOR_ME = """
    SELECT pid FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))
"""
WHY = movements.Reason(actor="dev_1", reason="because")
SHORT = {"HOLD_LEASE_S": "2", "HOLD_HEARTBEAT_S": "0.5"}
WORKER = ("--pool=solo", "--without-gossip", "--without-mingle", "--without-heartbeat")
HOURS = dt.timedelta(hours=2)


async def wallet_of(payer: Payer) -> UUID:
    user = await EndUser.objects.aget(paywall_id=payer.paywall_id)
    assert user.wallet_id is not None
    return user.wallet_id


async def lapse(gate: Gate, payer: Payer, owner: psycopg.Connection) -> UUID:
    """The wallet of a hold whose process is gone."""
    await deposit(gate, payer, 1_000)
    asked = ask(payer, 300)
    await gate.reserve(asked)
    owner.execute(
        "UPDATE ledger_hold SET lease_until = now() - interval '1 s' WHERE id = %s",
        [asked.request_id],
    )
    owner.execute(
        "INSERT INTO ledger_sweep (id, rolled_upto, last_at)"
        " VALUES (1, 0, now() + interval '1 minute')"
        " ON CONFLICT (id) DO UPDATE SET last_at = EXCLUDED.last_at, grace_until = NULL"
    )
    return await wallet_of(payer)


async def expire(gate: Gate, payer: Payer, owner: psycopg.Connection) -> UUID:
    """A wallet with credit whose day has come."""
    await deposit(gate, payer, 700)
    paywall = await Paywall.objects.aget(id=payer.paywall_id)
    credit = sync_to_async(movements.deposit)
    await credit(paywall, payer.user, 300, WHY, expires_at=clock.now() + HOURS)
    wallet = await wallet_of(payer)
    owner.execute(
        "UPDATE ledger_lot SET expires_at = now() - interval '1 s' WHERE account_id = %s", [wallet]
    )
    return wallet


async def is_reaped(wallet: UUID) -> bool:
    account = await Account.objects.aget(id=wallet)
    assert account.posted == 1_000
    return account.held == 0


async def is_expired(wallet: UUID) -> bool:
    """Asked in one statement, because the worker may commit between two."""
    expiries = Count("entries", filter=Q(entries__transaction__kind="expiry"))
    account = await Account.objects.annotate(expiries=expiries).aget(id=wallet)
    assert (account.posted, account.expiries) in {(1_000, 0), (700, 1)}
    return bool(account.expiries)


@dataclass(frozen=True)
class Money:
    """A task, something for it to do to a wallet, and whether that is done, once."""

    task: Any
    arrange: Callable[[Gate, Payer, psycopg.Connection], Awaitable[UUID]]
    is_done: Callable[[UUID], Awaitable[bool]]

    async def run(self) -> None:
        """As the worker runs it."""
        await sync_to_async(self.task)()


MONEY = pytest.mark.parametrize(
    "money",
    [
        pytest.param(Money(tasks.reap_holds, lapse, is_reaped), id="reap_holds"),
        pytest.param(Money(tasks.expire_lots, expire, is_expired), id="expire_lots"),
    ],
)


@asynccontextmanager
async def worker(folder: Path, redis_url: str) -> AsyncIterator[Child]:
    """A real one, in a process of its own."""
    child = Child(
        name="worker",
        command=[sys.executable, "-m", "celery", "-A", "config", "worker", *WORKER],
        log=folder / "worker.log",
        environment={**os.environ, **SHORT, "REDIS_URL": redis_url},
        folder=ROOT,
    ).start()
    try:
        yield child
    finally:
        child.process.kill()
        await asyncio.to_thread(child.process.wait)


async def send(task: str) -> None:
    with app.connection_for_write() as broker:
        await asyncio.to_thread(app.send_task, task, connection=broker)


@pytest.fixture(autouse=True)
def as_in_the_worker(settings) -> None:
    """Short leases, and nothing that waits in the queue."""
    settings.HOLD_LEASE_S = 2
    with redis.Redis.from_url(settings.REDIS_URL) as valkey:
        valkey.flushdb()


@MONEY
@pytest.mark.slow
@pytest.mark.proves("F42", "C9")
async def test_killed_before_its_commit(gate, payer, owner, tmp_path, money):
    """And the machine with it, so that PostgreSQL hears of it: all is as it was, and done later."""
    wallet = await money.arrange(gate, payer, owner)
    await send(money.task.name)
    async with worker(tmp_path, settings.REDIS_URL) as child:
        with owner.transaction():
            lock(owner, wallet)
            await until(lambda: is_waited_for(owner))
            child.process.kill()
            end_those_waiting(owner)
    assert not await money.is_done(wallet)
    await money.run()
    assert await money.is_done(wallet)
    await money.run()
    assert await money.is_done(wallet)


@MONEY
@pytest.mark.slow
@pytest.mark.proves("F42", "F43")
async def test_killed_after_its_commit(gate, payer, owner, tmp_path, money):
    """Before the broker hears that it is done, so that it is delivered again."""
    wallet = await money.arrange(gate, payer, owner)
    await send(money.task.name)
    async with Wire(settings.REDIS_URL) as wire, worker(tmp_path, wire.url) as child:
        with owner.transaction():
            lock(owner, wallet)
            await until(lambda: is_waited_for(owner))
            wire.freeze()
        await until(lambda: async_to_sync(money.is_done)(wallet))
        child.process.kill()
    await money.run()
    assert await money.is_done(wallet)


def is_waited_for(owner: psycopg.Connection) -> bool:
    return bool(owner.execute(WAITING_FOR_ME).fetchall())


def lock(owner: psycopg.Connection, wallet: UUID) -> None:
    owner.execute("SELECT FROM ledger_account WHERE id = %s FOR NO KEY UPDATE", [wallet])


def end_those_waiting(owner: psycopg.Connection) -> None:
    """A superuser may; they roll back."""
    with psycopg.connect(os.environ["TEST_ADMIN_URL"], autocommit=True) as admin:
        for (pid,) in owner.execute(WAITING_FOR_ME).fetchall():
            admin.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


@MONEY
@pytest.mark.proves("F43")
async def test_twice_at_once_and_none_left_in_the_queue(gate, payer, owner, money):
    """What a task is to do is not in the queue: a purge loses nothing."""
    wallet = await money.arrange(gate, payer, owner)
    with owner.transaction():
        lock(owner, wallet)
        both = asyncio.gather(*(asyncio.to_thread(run_apart, money.task) for _ in range(2)))
        await until(lambda: is_waited_for(owner))
    await both
    assert await money.is_done(wallet)


def run_apart(task: Callable[[], object]) -> None:
    try:
        task()
    finally:
        connections.close_all()


@pytest.mark.proves("F44")
async def test_two_hours_without_the_timetable(gate, payer, owner):
    """Everyone is spared for a lease, as processes may have been away too; then it catches up."""
    wallet = await lapse(gate, payer, owner)
    owner.execute(
        "UPDATE ledger_sweep SET last_at = now() - %s, grace_until = NULL WHERE id = 1", [HOURS]
    )
    owner.execute(
        "UPDATE ledger_hold SET lease_until = now() - %s WHERE account_id = %s", [HOURS, wallet]
    )
    await sync_to_async(tasks.reap_holds)()
    assert not await is_reaped(wallet)
    owner.execute("UPDATE ledger_sweep SET grace_until = now() WHERE id = 1")
    await sync_to_async(tasks.reap_holds)()
    assert await is_reaped(wallet)


@pytest.mark.proves("F44")
def test_a_timetable_that_starts_late_asks_for_each_task_once():
    sent: list[str] = []

    class Late(Scheduler):
        def apply_entry(self, entry, producer=None) -> None:
            sent.append(entry.name)

    scheduler = Late(app, schedule={}, lazy=True)
    scheduler.merge_inplace(dict(app.conf.beat_schedule))
    for entry in scheduler.schedule.values():
        entry.last_run_at -= HOURS
    while scheduler.tick() == 0:
        pass
    often = {task for task, when in TIMETABLE.items() if isinstance(when, float)}
    assert len(sent) == len(set(sent))
    assert often <= set(sent)
