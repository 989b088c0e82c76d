"""I14: what withdrawals say and what the ledger has are the same, and damage to either is found."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.db import connection, transaction

from billing.verification import checks
from billing.withdrawals import requests
from billing.withdrawals.invariants import PAYOUTS
from billing.withdrawals.models import Withdrawal
from ledger.invariants import WINDOW
from tests.billing.withdrawals.conftest import UNIT, Earner, set_terms
from tests.billing.withdrawals.test_requests import move, sent
from tests.support.surgery import surgery

WHOLE, RECENT = PAYOUTS[0].query, f"{WINDOW}{PAYOUTS[0].recent}"
DAMAGE = {
    "more than was free": "UPDATE billing_withdrawal SET reserve = 10^18::bigint"
    " WHERE id = %(open)s",
    "another amount": "UPDATE billing_withdrawal SET amount = amount + 1 WHERE id = %(open)s",
    "never reserved": "UPDATE billing_withdrawal SET transaction_id = gen_random_uuid()"
    " WHERE id = %(open)s",
    "gone": "DELETE FROM billing_withdrawal WHERE id = %(open)s",
    "ended without its money": "UPDATE billing_withdrawal SET state = 'cancelled'"
    " WHERE id = %(open)s",
    "paid without its money": "UPDATE billing_withdrawal SET paid_transaction_id = NULL"
    " WHERE id = %(paid)s",
    "given back although paid": "UPDATE billing_withdrawal SET"
    " back_transaction_id = transaction_id WHERE id = %(paid)s",
    "given back twice": "UPDATE billing_withdrawal SET back_transaction_id ="
    " (SELECT back_transaction_id FROM billing_withdrawal WHERE id = %(back)s),"
    " state = 'failed' WHERE id = %(open)s",
    "cleared by nobody": "DELETE FROM billing_clearing WHERE account_id = %(pending)s",
    "cleared more than it says": "UPDATE billing_clearing SET nanos = nanos + 1"
    " WHERE account_id = %(pending)s",
    "somebody else's earnings": "UPDATE ledger_account SET owner = gen_random_uuid()"
    " WHERE kind = 'earnings' AND owner = %(team)s",
}


@pytest.fixture
def worked(earner: Earner, owner: psycopg.Connection) -> dict[str, Any]:
    """One withdrawal in each way of being, and the rest there is."""
    set_terms(fee_nanos=UNIT)
    (since,) = owner.execute("SELECT coalesce(max(id), 0) FROM ledger_entry").fetchone() or (0,)
    earner.cleared(100 * UNIT)
    rows = [earner.withdraw(10 * UNIT) for _ in range(4)]
    move(sent(rows[1], owner), Withdrawal.State.PAID)
    move(rows[2], Withdrawal.State.CANCELLED)
    move(sent(rows[3], owner), Withdrawal.State.PAID)
    move(requests.find(rows[3].pk), Withdrawal.State.FAILED)
    earner.earn(-200 * UNIT)
    earner.clear()
    names = dict(zip(("open", "paid", "back", "returned"), [row.pk for row in rows], strict=True))
    return {**names, "pending": earner.pending.pk, "team": earner.team.pk, "since": since}


@pytest.fixture
def surgeon(worked: dict[str, Any]) -> Iterator[psycopg.Connection]:
    with surgery() as opened:
        for (check,) in opened.execute(
            "SELECT conname FROM pg_constraint WHERE contype IN ('c', 'u')"
            " AND conrelid = 'billing_withdrawal'::regclass"
        ).fetchall():
            opened.execute(f"ALTER TABLE billing_withdrawal DROP CONSTRAINT {check}")
        yield opened


def broken(surgeon: psycopg.Connection, query: str, since: int = 0) -> int:
    """Rows that break I14."""
    window = {"since": since, "upto": 2**62, "ids_since": UUID(int=0), "ids_upto": UUID(int=0)}
    return len(surgeon.execute(query, window).fetchall())


@pytest.mark.proves("I14")
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=list(DAMAGE))
def test_damage_is_found(damage: str, worked: dict[str, Any], surgeon: psycopg.Connection):
    assert broken(surgeon, WHOLE) == 0
    surgeon.execute(damage, worked)
    assert broken(surgeon, WHOLE) > 0


@pytest.mark.parametrize("damage", ["more than was free", "another amount", "gone"])
def test_the_same_within_a_minute(damage: str, worked: dict[str, Any], surgeon: psycopg.Connection):
    assert broken(surgeon, RECENT, worked["since"]) == 0
    surgeon.execute(DAMAGE[damage], worked)
    assert broken(surgeon, RECENT, worked["since"]) > 0


def test_all_other_promises_hold(worked: dict[str, Any]):
    with transaction.atomic(), connection.cursor() as cursor:
        found = {result.number: result.broken for result in checks(cursor, None)}
    assert [found[number] for number in ("I1", "I3", "I5", "I6", "I12", "I14", "I24")] == [0] * 7


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM billing_withdrawal",
        "TRUNCATE billing_withdrawal CASCADE",
        "UPDATE billing_clearing SET nanos = 0",
    ],
)
def test_rows_are_kept_even_from_the_owner(statement: str, earner: Earner):
    earner.cleared(10 * UNIT).withdraw(UNIT)
    with pytest.raises(psycopg.Error, match="append-only"):
        earner.owner.execute(statement)


def test_the_runtime_role_only_reads_them(earner: Earner, runtime: psycopg.Connection):
    for table in ("billing_withdrawal", "billing_clearing", "billing_bank_batch"):
        with pytest.raises(psycopg.Error, match="permission denied"):
            runtime.execute(f"DELETE FROM {table}")
