"""One wallet, two apps, two processes: no limit is ever passed, whoever comes first."""

import asyncio
import random
from concurrent.futures import ThreadPoolExecutor

import orjson
import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import transaction

from billing.database import Database
from billing.gate import Gate
from billing.types import Payer
from config.kit import ids
from ledger.models import Account, Counter, Hold
from paywalls import grants
from paywalls.decisions import Allowed
from tests.billing.conftest import TERMS, ask, bill
from tests.billing.test_processes import _wait_until_it_waits as wait_until_it_waits
from tests.support.shared import allow, give, make_person, shared_payer

REQUESTS = 200
WANT_MAX = 60


@pytest.fixture
async def gates(gate):
    """Two processes."""
    second = Gate(Database(settings.DATABASE_URL, size=2), TERMS)
    await second.open()
    yield gate, second
    await second.close()


@pytest.mark.proves("I16")
@pytest.mark.parametrize(
    ("wallet", "caps"),
    [
        pytest.param(1_500, (4_000, 4_000), id="the-wallet-is-short"),
        pytest.param(9_000, (700, 900), id="the-caps-are-short"),
        pytest.param(1_500, (400, 4_000), id="a-cap-and-the-wallet"),
    ],
)
async def test_no_limit_is_passed(gates, wallet, caps):
    person, payers, allowed = await sync_to_async(stand)(wallet, caps)
    dice = random.Random(wallet)
    asks = [ask(payers[n % 2], dice.randint(1, WANT_MAX)) for n in range(REQUESTS)]
    turns = [gates[n // 2 % 2].reserve(each) for n, each in enumerate(asks)]
    answers = await asyncio.gather(*turns)
    held = await holds_of(asks)
    spent = [sum(held.get(e.request_id, 0) for e in asks if e.payer == payer) for payer in payers]
    assert all(nanos <= cap for nanos, cap in zip(spent, caps, strict=True))
    assert [(await Counter.objects.aget(id=each.pk)).month_spent for each in allowed] == spent
    account = await Account.objects.aget(kind="wallet", owner=person.pk)
    assert account.held == sum(held.values()) <= wallet
    told = {e.request_id for e, a in zip(asks, answers, strict=True) if isinstance(a, Allowed)}
    assert told == set(held)
    left = [wallet - account.held, *(c - s for c, s in zip(caps, spent, strict=True))]
    assert min(left) < WANT_MAX, "so much was asked for that one of them ends it"
    await settle(gates, asks, held, dice)
    await account.arefresh_from_db()
    counters = [await Counter.objects.aget(id=grant.pk) for grant in allowed]
    assert account.held == 0
    assert sum(each.total_spent for each in counters) == wallet - account.posted
    assert [each.open for each in counters] == [0, 0]
    assert all(each.month_spent == each.total_spent for each in counters)


async def test_a_withdrawn_grant_ends_it_in_the_midst(gates):
    person, payers, allowed = await sync_to_async(stand)(10**6, (10**6, 10**6))
    asks = [ask(payers[n % 2], 5) for n in range(60)]
    await gates[0].reserve(asks[0])
    running = [asyncio.ensure_future(gates[n % 2].reserve(each)) for n, each in enumerate(asks[1:])]
    await sync_to_async(withdraw)(allowed[0], person)
    late = await asyncio.gather(*(gates[n % 2].reserve(ask(payers[0], 5)) for n in range(20)))
    assert not any(isinstance(each, Allowed) for each in late)
    await asyncio.gather(*running)
    held = await holds_of(asks)
    assert all(each.request_id in held for each in asks if each.payer == payers[1])
    await settle(gates, asks, held, random.Random(1))
    assert (await Account.objects.aget(kind="wallet", owner=person.pk)).held == 0


def test_a_second_process_waits_and_sees_what_was_spent(runtime):
    _, (payer, _), _ = stand(1_000, (100, 100))
    reserve(runtime, payer, 0, 1)  # From here on the grant has its counter.
    with (
        psycopg.connect(settings.DATABASE_URL, autocommit=True) as second,
        ThreadPoolExecutor(1) as thread,
    ):
        with runtime.transaction():
            assert reserve(runtime, payer, 60, 1) == ["allowed"]
            other = thread.submit(reserve, second, payer, 60, 1)
            wait_until_it_waits(runtime, second, other)
        assert other.result() == ["cap_reached"]


def test_a_batch_that_the_wallet_cannot_carry_is_no_failure(runtime):
    _, (payer, _), _ = stand(100, (10**6, 10**6))
    reserve(runtime, payer, 0, 1)
    assert reserve(runtime, payer, 60, 2) == ["allowed", "topup_required"]


def reserve(connection: psycopg.Connection, payer: Payer, nanos: int, asks: int) -> list[str]:
    """The outcomes of so many asks at once."""
    asked = {"paywall": payer.paywall_id, "live": True, "user": payer.user, "cur": "USD"}
    terms = {"zone": "UTC", "want": nanos, "least": nanos, "facts": {}}
    many = [asked | terms | {"id": ids.uuid7()} for _ in range(asks)]
    call, what = ("one", many[0]) if asks == 1 else ("many", many)
    query = f"SELECT billing_shared_reserve_{call}(%s::jsonb, %s, 30, 900)"
    row = connection.execute(query, [orjson.dumps(what).decode(), ids.uuid7()]).fetchone()
    assert row is not None
    answers = row[0] if asks > 1 else [row[0]]
    return [answer["outcome"] for answer in answers]


async def holds_of(asks):
    found = Hold.objects.filter(id__in=[each.request_id for each in asks])
    return {row.id: row.amount async for row in found}


async def settle(gates, asks, held, dice) -> None:
    """Everything that was placed, by the process that placed it."""
    turns = [
        gate.settle(bill(each, dice.randint(0, held[each.request_id])))
        for gate in gates
        for each in asks
        if each.request_id in gate._open
    ]
    await asyncio.gather(*turns)


def stand(wallet, caps):
    person, payers = make_person(), [shared_payer(), shared_payer()]
    give(person, wallet)
    allowed = [allow(person, payer, cap) for payer, cap in zip(payers, caps, strict=True)]
    return person, payers, allowed


@transaction.atomic
def withdraw(grant, person) -> None:
    grants.revoke(grant, actor=person.public_id)
