"""The worker dies within a task, does one twice or not at all: the rows say what is left to do."""

import datetime as dt
from functools import partial
from uuid import UUID

import psycopg
import pytest
import redis
from asgiref.sync import sync_to_async
from celery.beat import Scheduler
from django.db.models import Count, Q

from billing import movements, tasks
from billing.gate import Gate
from billing.models import PaywallDay
from billing.types import Payer
from config.celery import TIMETABLE, app
from config.kit import clock
from ledger.models import Account
from paywalls.models import EndUser, Paywall
from tests.billing.conftest import ask, bill, deposit
from tests.support.worker import (
    WALLET,
    Work,
    killed_after_its_commit,
    killed_before_its_commit,
    twice_at_once,
)

WHY = movements.Reason(actor="dev_1", reason="because")
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
        " VALUES (1, 0, now() + interval '10 minutes')"
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


async def add_up(gate: Gate, payer: Payer, owner: psycopg.Connection) -> UUID:
    """A paywall with a chat of today that its days do not count yet."""
    await sync_to_async(tasks.roll_up)()
    await deposit(gate, payer, 1_000)
    asked = ask(payer, 300)
    await gate.reserve(asked)
    await gate.settle(bill(asked, 200))
    return payer.paywall_id


async def is_added_up(paywall: UUID) -> bool:
    charged = [day.charged async for day in PaywallDay.objects.filter(paywall_id=paywall)]
    assert charged in ([], [200])
    return bool(charged)


ADDING_UP = "SELECT FROM billing_rollup WHERE id = 1 FOR UPDATE"
WORK = pytest.mark.parametrize(
    ("task", "arrange", "is_done", "lock"),
    [
        pytest.param(tasks.reap_holds, lapse, is_reaped, WALLET, id="reap_holds"),
        pytest.param(tasks.expire_lots, expire, is_expired, WALLET, id="expire_lots"),
        pytest.param(tasks.roll_up, add_up, is_added_up, ADDING_UP, id="roll_up"),
    ],
)


@pytest.fixture
async def work(gate, payer, owner, task, arrange, is_done, lock) -> Work:
    key = await arrange(gate, payer, owner)
    return Work(task, partial(is_done, key), key, lock)


@pytest.fixture(autouse=True)
def as_in_the_worker(settings) -> None:
    """Short leases, and nothing that waits in the queue."""
    settings.HOLD_LEASE_S = 2
    with redis.Redis.from_url(settings.REDIS_URL) as valkey:
        valkey.flushdb()


@pytest.mark.long
@WORK
@pytest.mark.proves("F42", "C9")
async def test_killed_before_its_commit(work, owner, tmp_path):
    assert await killed_before_its_commit(work, owner, tmp_path)


@pytest.mark.long
@WORK
@pytest.mark.proves("F42", "F43")
async def test_killed_after_its_commit(work, owner, tmp_path):
    assert await killed_after_its_commit(work, owner, tmp_path)


@WORK
@pytest.mark.proves("F43")
async def test_twice_at_once_and_none_left_in_the_queue(work, owner):
    assert await twice_at_once(work, owner)


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
