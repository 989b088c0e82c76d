"""What the tables themselves refuse, also to their owner, whatever the functions do."""

import psycopg
import pytest

from billing import movements
from billing.movements import Reason
from ledger.models import Account
from paywalls.models import EndUser, Paywall
from tests.factories import PaywallFactory

WHY = Reason(actor="dev_1", reason="because")


@pytest.fixture
def wallet() -> Account:
    """One with 100 nanos in it, 40 of them a bonus, after a charge of 10."""
    paywall: Paywall = PaywallFactory.create()
    movements.deposit(paywall, "u", 60, WHY)
    movements.bonus(paywall, "u", 50, WHY)
    movements.charge(paywall, "u", 10, WHY)
    return Account.objects.get(id__in=EndUser.objects.filter(paywall=paywall).values("wallet_id"))


@pytest.mark.proves("I5", "I9", "I22")
@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("UPDATE ledger_account SET posted = -1 WHERE id = %s", "account_above_floor"),
        ("UPDATE ledger_account SET held = 101 WHERE id = %s", "account_above_floor"),
        ("UPDATE ledger_account SET floor = 101 WHERE id = %s", "account_above_floor"),
        ("UPDATE ledger_account SET held = -1 WHERE id = %s", "account_held_positive"),
        ("UPDATE ledger_account SET owed = -1 WHERE id = %s", "account_held_positive"),
        ("UPDATE ledger_lot SET remaining = 51 WHERE account_id = %s", "lot_within_amount"),
        ("UPDATE ledger_lot SET held = 41 WHERE account_id = %s", "lot_within_amount"),
        ("UPDATE ledger_lot SET held = -1 WHERE account_id = %s", "lot_within_amount"),
        (
            "INSERT INTO ledger_hold (id, account_id, amount, state, lease_until, expires_at,"
            " created_at) SELECT gen_random_uuid(), id, -1, 0, now(), now(), now()"
            " FROM ledger_account WHERE id = %s",
            "hold_amount",
        ),
        (
            "INSERT INTO ledger_hold (id, account_id, amount, settled, state, lease_until,"
            " expires_at, created_at, resolved_at)"
            " SELECT gen_random_uuid(), id, 5, 6, 1, now(), now(), now(), now()"
            " FROM ledger_account WHERE id = %s",
            "hold_amount",
        ),
        (
            "INSERT INTO ledger_transaction SELECT (jsonb_populate_record(t, jsonb_build_object("
            "'id', gen_random_uuid()))).* FROM ledger_transaction t WHERE EXISTS ("
            "SELECT FROM ledger_entry WHERE transaction_id = t.id AND account_id = %s)",
            "transaction_once",
        ),
        (
            "INSERT INTO paywalls_enduser SELECT (jsonb_populate_record(u, jsonb_build_object("
            "'id', gen_random_uuid(), 'wallet_id', gen_random_uuid()))).*"
            " FROM paywalls_enduser u WHERE wallet_id = %s",
            "end_user_once",
        ),
    ],
)
def test_a_constraint_refuses(owner, wallet, statement, constraint):
    with pytest.raises(psycopg.errors.IntegrityError) as refused:
        owner.execute(statement, [wallet.pk])
    assert refused.value.diag.constraint_name == constraint


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE ledger_hold SET state = 0 WHERE account_id = %s", "has already ended"),
        ("UPDATE ledger_hold SET lease_until = now() WHERE account_id = %s", "has already ended"),
        ("DELETE FROM ledger_account WHERE id = %s", "append-only"),
    ],
)
def test_a_trigger_refuses(owner, wallet, statement, words):
    with pytest.raises(psycopg.Error, match=words):
        owner.execute(statement, [wallet.pk])
