"""Earnings clear once, after their time; what is taken back comes out of pending ones first."""

import threading
from dataclasses import replace

import psycopg
import pytest
from django.conf import settings

from billing import earnings
from billing.errors import IdempotencyMismatchError
from billing.movements import Reason
from ledger.models import Account, Transaction
from tests.billing.withdrawals.conftest import UNIT, Earner, set_terms


def test_a_team_that_never_earned_has_nothing(earner: Earner):
    assert earner.figures == (0, 0, 0)
    assert earnings.lines(earner.team, livemode=True) == []
    assert earnings.forecast(earner.team, livemode=True) == []


def test_what_is_old_enough_clears_once(earner: Earner):
    earner.earn(30)
    assert earner.figures == (30, 0, 0)
    assert [earner.clear(), earner.clear()] == [30, 0]
    assert earner.figures == (0, 30, 30)
    earner.earn(5)
    assert earner.clear() == 5
    kinds = [line.kind for line in earnings.lines(earner.team, livemode=True)]
    assert kinds == ["earning", "earning"]


def test_young_earnings_wait_and_are_forecast(earner: Earner):
    set_terms(clearing_days=7)
    earner.earn(30)
    assert earner.clear() == 0
    assert [nanos for _, nanos in earnings.forecast(earner.team, livemode=True)] == [30]
    assert earner.figures == (30, 0, 0)


def test_a_day_clears_as_a_whole_by_the_databases_clock(tester: Earner, owner):
    """Test money's clock may be set; live money's is the database's own."""
    set_terms(clearing_days=7)
    tester.earn(30)
    try:
        _set_clock(owner, "6 days 23 hours 59 minutes")
        assert tester.clear() in (0, 30)  # Before or after this day's midnight of UTC.
        _set_clock(owner, "8 days")
        tester.clear()
        assert tester.figures == (0, 30, 30)
    finally:
        _set_clock(owner, "0 days")


def _set_clock(owner, ahead: str) -> None:
    owner.execute(
        "CREATE OR REPLACE FUNCTION ledger_now(p_livemode boolean) RETURNS timestamptz"
        " LANGUAGE sql VOLATILE AS 'SELECT clock_timestamp()"
        + (f" + CASE WHEN p_livemode THEN interval ''0'' ELSE interval ''{ahead}'' END'")
    )


def test_twenty_at_once_clear_once(earner: Earner):
    earner.earn(7)
    account = earner.pending.pk
    threads = [threading.Thread(target=_clear, args=(account,)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert earner.figures == (0, 7, 7)
    assert Transaction.objects.filter(kind="earning", ref__startswith=str(account)).count() == 1


def _clear(account) -> None:
    from django.db import connection  # noqa: PLC0415 - a thread has a connection of its own.

    earnings.clear(account)
    connection.close()


def test_an_entry_that_is_committed_late_is_not_lost(earner: Earner):
    """Its id is lower than one that has cleared already."""
    earner.cleared(1)
    with psycopg.connect(settings.DATABASE_OWNER_URL) as slow:
        replace(earner, owner=slow).earn(10)
        earner.earn(3)
        assert earner.clear() == 3
    assert earner.figures == (10, 4, 4)
    assert earner.clear() == 10


class TestTakenBack:
    def test_from_pending_first(self, earner: Earner):
        earner.cleared(100)
        earner.earn(50)
        set_terms(clearing_days=7)
        earner.earn(-20)
        assert earner.figures == (30, 100, 100)
        earner.earn(-40)
        assert earner.figures == (-10, 100, 90)
        assert earner.clear() == -10
        assert earner.figures == (0, 90, 90)

    def test_what_a_refund_took_does_not_clear(self, earner: Earner):
        earner.earn(50)
        earner.earn(-20)
        assert earner.clear() == 30
        assert earner.clear() == 0
        assert earner.figures == (0, 30, 30)

    def test_what_is_young_does_not_clear_in_the_place_of_what_was_taken(self, earner: Earner):
        set_terms(clearing_days=7)
        for nanos in (-20, 30):
            earner.earn(nanos)
            earner.clear()
        assert (earner.now.pending_nanos, earner.now.owed_nanos) == (30, 20)
        earner.earn(-40)
        assert earner.clear() == -10
        assert (earner.now.pending_nanos, earner.now.owed_nanos) == (0, 30)

    def test_beyond_all_is_owed_and_earned_again_first(self, earner: Earner):
        earner.cleared(10)
        why = Reason(actor="dev_1", reason="a lost dispute", ref="du_1")
        after = earnings.take_back(earner.team, 25, why, livemode=True)
        assert (after.pending_nanos, after.cleared_nanos, after.owed_nanos) == (0, 0, 15)
        assert after.available_nanos == 0
        assert earnings.take_back(earner.team, 25, why, livemode=True) == after
        with pytest.raises(IdempotencyMismatchError):
            earnings.take_back(earner.team, 26, why, livemode=True)
        earner.cleared(20)
        assert (earner.now.owed_nanos, earner.now.available_nanos) == (0, 5)
        account = Account.objects.get(kind="earnings", owner=earner.team.pk)
        assert (account.posted, account.owed) == (5, 0)


def test_a_rolling_reserve_stays(earner: Earner):
    set_terms(reserve_bps=1_000, reserve_days=30)
    earner.cleared(101 * UNIT)
    assert earner.now.reserve_nanos == 101 * UNIT // 10
    assert earner.now.available_nanos == 909 * UNIT // 10
    set_terms(reserve_bps=1_000, reserve_days=0)
    assert earner.now.available_nanos == 101 * UNIT


def test_live_and_test_are_apart(earner: Earner, tester: Earner):
    tester.cleared(40)
    assert (earner.figures, tester.figures) == ((0, 0, 0), (0, 40, 40))


def test_the_task_clears_everybody(earner: Earner):
    earner.earn(12)
    assert earnings.clear_due() >= 1
    assert earner.figures == (0, 12, 12)
