"""Balances of accounts that no request locks, and statements."""

import psycopg
import pytest
from django.db import connection

from billing import movements
from billing.movements import Reason
from config.kit import ids
from config.kit.money import AMOUNT_NANOS_MAX
from ledger.balances import balance, statement
from ledger.models import Account, Rollup
from paywalls.models import EndUser, Paywall
from tests.factories import PaywallFactory

WHY = Reason(actor="dev_1", reason="because")


@pytest.fixture
def paywall() -> Paywall:
    return PaywallFactory.create()


def revenue(paywall: Paywall) -> Account:
    return Account.objects.get(kind="revenue", owner=paywall.id)


def roll_up(owner: psycopg.Connection) -> None:
    """Everything up to now; in production the newest ten minutes stay in the tail."""
    owner.execute("SELECT ledger_roll_up(0)")


def test_a_rolled_up_balance_is_the_roll_up_and_the_tail(paywall, owner):
    movements.deposit(paywall, "u", 100, WHY)
    movements.charge(paywall, "u", 30, WHY)
    account = revenue(paywall)
    assert balance(account.id) == 30
    roll_up(owner)
    assert Rollup.objects.get(account=account).posted == 30
    assert balance(account.id) == 30
    movements.charge(paywall, "u", 5, WHY)
    assert balance(account.id) == 35
    roll_up(owner)
    roll_up(owner)
    assert balance(account.id) == 35


def test_entries_that_may_have_uncommitted_neighbours_stay_in_the_tail(paywall):
    movements.deposit(paywall, "u", 100, WHY)
    movements.charge(paywall, "u", 30, WHY)
    with connection.cursor() as cursor:
        cursor.execute("SELECT ledger_roll_up(600)")
    assert not Rollup.objects.filter(account=revenue(paywall)).exists()


def test_a_balance_beyond_a_bigint_stops_nobodys_roll_up(paywall, owner):
    """Each wallet keeps within its bound; what all of them were given does not."""
    times = 10
    assert times * AMOUNT_NANOS_MAX > 2**63
    for number in range(times):
        movements.deposit(paywall, f"u{number}", AMOUNT_NANOS_MAX, WHY)
    neighbour = PaywallFactory.create()
    movements.deposit(neighbour, "u", 10, WHY)
    movements.charge(neighbour, "u", 3, WHY)
    given = Account.objects.get(kind="external", owner=paywall.id)
    for _ in ("in the tail", "rolled up"):
        assert balance(given.id) == -times * AMOUNT_NANOS_MAX
        roll_up(owner)
    assert Rollup.objects.get(account=revenue(neighbour)).posted == 3


def test_an_account_that_does_not_exist_has_nothing():
    assert balance(ids.uuid7()) == 0


def test_a_statement_is_newest_first_and_continues_where_it_stopped(paywall):
    for amount in (1, 2, 3):
        movements.deposit(paywall, "u", amount, WHY)
    wallet = EndUser.objects.get(paywall=paywall).wallet_id
    first = statement(wallet, rows=2)
    rest = statement(wallet, rows=2, before=first[-1].entry_id)
    assert [line.amount_nanos for line in (*first, *rest)] == [3, 2, 1]
    assert [line.balance_after_nanos for line in (*first, *rest)] == [6, 3, 1]
