"""Two processes at one wallet: the second waits for the first, and then sees what it did."""

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from uuid import UUID

import orjson
import psycopg
import pytest
from django.conf import settings

from billing import movements
from billing.movements import Reason
from billing.types import Payer
from billing.wire import bill_object
from config.kit import ids
from ledger.models import Account, Entry
from paywalls.models import EndUser, Paywall
from tests.billing.conftest import ask, bill
from tests.factories import PaywallFactory
from tests.support.patience import PATIENCE_S

WHY = Reason(actor="dev_1", reason="because")
OPEN = "SELECT billing_revenue(%s, true)"
WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND pid = %s AND wait_event_type = 'Lock'"
)


@pytest.fixture
def paywall() -> Paywall:
    """One whose user `u` has 100 nanos."""
    made: Paywall = PaywallFactory.create()
    movements.deposit(made, "u", 100, WHY)
    return made


@pytest.fixture
def second() -> Iterator[psycopg.Connection]:
    with psycopg.connect(settings.DATABASE_URL, autocommit=True) as connection:
        yield connection


def reserve(connection: psycopg.Connection, paywall: Paywall, request: UUID, nanos: int) -> str:
    """The outcome."""
    asked = {"id": request, "paywall": paywall.pk, "live": True, "user": "u", "zone": "UTC"}
    terms = {"want": nanos, "least": nanos, "facts": {}}
    query = "SELECT billing_reserve_one(%s::jsonb, %s, 30, 900) ->> 'outcome'"
    return str(_scalar(connection, query, orjson.dumps(asked | terms).decode(), ids.uuid7()))


def settle(connection: psycopg.Connection, booking: str) -> str:
    """The state."""
    query = "SELECT billing_settle_one(%s::jsonb) ->> 'state'"
    return str(_scalar(connection, query, booking))


def booking_of(connection: psycopg.Connection, paywall: Paywall, request: UUID, nanos: int) -> str:
    """A bill for user `u`, as the gate sends it."""
    payer = Payer(
        paywall_id=paywall.pk,
        key_id=None,
        livemode=True,
        currency="USD",
        timezone="UTC",
        user="u",
    )
    booking = bill_object(
        bill(ask(payer, nanos, request_id=request), nanos),
        earns=[_scalar(connection, OPEN, paywall.pk)],
        user=EndUser.objects.get(paywall=paywall).pk,
        transaction=ids.uuid7(),
        trial=False,
    )
    return orjson.dumps(booking).decode()


def test_money_is_reserved_once(paywall, runtime, second):
    with ThreadPoolExecutor(1) as thread:
        with runtime.transaction():
            assert reserve(runtime, paywall, ids.uuid7(), 80) == "allowed"
            other = thread.submit(reserve, second, paywall, ids.uuid7(), 80)
            _wait_until_it_waits(runtime, second, other)
        assert other.result() == "topup_required"


def test_settlements_form_a_chain(paywall, runtime, second):
    requests = [ids.uuid7(), ids.uuid7()]
    for request in requests:
        reserve(second, paywall, request, 30)
    first, last = [
        booking_of(runtime, paywall, r, n) for r, n in zip(requests, (10, 20), strict=True)
    ]
    with ThreadPoolExecutor(1) as thread:
        with runtime.transaction():
            assert settle(runtime, first) == "settled"
            other = thread.submit(settle, second, last)
            _wait_until_it_waits(runtime, second, other)
        assert other.result() == "settled"
    wallet = Account.objects.get(id=EndUser.objects.get(paywall=paywall).wallet_id)
    entries = Entry.objects.filter(account=wallet).order_by("id")
    assert [(e.account_version, e.balance_after) for e in entries] == [(1, 100), (2, 90), (3, 70)]


def test_a_user_whom_both_see_first_gets_one_wallet_and_one_trial(paywall, runtime, second):
    with ThreadPoolExecutor(1) as thread:
        with runtime.transaction():
            first = see(runtime, paywall)
            other = thread.submit(see, second, paywall)
            _wait_until_it_waits(runtime, second, other)
        assert other.result() == first
    wallet = Account.objects.get(
        id=EndUser.objects.get(external_id="new", paywall=paywall).wallet_id
    )
    assert wallet.posted == 40


def test_nobody_renews_anothers_lease(paywall, runtime):
    request = ids.uuid7()
    reserve(runtime, paywall, request, 10)
    query = "SELECT count(*) FROM ledger_renew(%s, %s, '{}', 30)"
    assert _scalar(runtime, query, ids.uuid7(), [request]) == 0


def see(connection: psycopg.Connection, paywall: Paywall) -> str:
    """The id of user `new`."""
    query = """SELECT (billing_user(%s, true, 'new', 'USD', '{"nanos": 40}')).id"""
    return str(_scalar(connection, query, paywall.pk))


def _wait_until_it_waits(
    connection: psycopg.Connection, other: psycopg.Connection, call: Future[str]
) -> None:
    ends = time.monotonic() + PATIENCE_S
    while not _scalar(connection, WAITING, other.info.backend_pid):
        assert not call.done(), call.result()
        assert time.monotonic() < ends
        time.sleep(0.01)


def _scalar(connection: psycopg.Connection, query: str, *arguments: object) -> Any:
    row = connection.execute(query.encode(), arguments).fetchone()
    assert row is not None
    return row[0]
