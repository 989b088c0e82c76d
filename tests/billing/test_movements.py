"""Money that people move by hand."""

import datetime as dt
from typing import Any

import orjson
import pytest
from django.db import connection, transaction

from billing import movements
from billing.errors import (
    IdempotencyMismatchError,
    InsufficientFundsError,
    RefundTooLargeError,
    UnknownChargeError,
)
from billing.movements import Reason
from billing.types import Payer
from config.kit import clock, ids
from config.kit.errors import InvalidRequestError
from ledger.balances import balance, statement
from ledger.models import Account, Lot, Note, Transaction
from paywalls import rules
from paywalls.models import EndUser, Paywall

WHY = Reason(actor="dev_1", reason="because")


@pytest.fixture
def paywall(payer: Payer) -> Paywall:
    return Paywall.objects.get(id=payer.paywall_id)


def wallet(paywall: Paywall) -> Account:
    return Account.objects.get(id__in=EndUser.objects.filter(paywall=paywall).values("wallet_id"))


def system(paywall: Paywall, kind: str) -> int:
    return balance(Account.objects.get(kind=kind, owner=paywall.id).id)


class TestDeposit:
    def test_credits_the_wallet_against_outside_money(self, paywall):
        booked = movements.deposit(paywall, "u", 500, WHY)
        assert booked.balance_nanos == 500
        assert (wallet(paywall).posted, system(paywall, "external")) == (500, -500)
        assert Note.objects.get(transaction_id=booked.transaction_id).reason == "because"

    def test_repeats_by_reference_and_refuses_another_use_of_it(self, paywall):
        why = Reason(actor="dev_1", reason="because", ref="in_1")
        first = movements.deposit(paywall, "u", 500, why)
        again = movements.deposit(paywall, "u", 500, why)
        assert (again.transaction_id, again.replayed) == (first.transaction_id, True)
        with pytest.raises(IdempotencyMismatchError):
            movements.deposit(paywall, "u", 501, why)
        assert wallet(paywall).posted == 500

    @pytest.mark.parametrize("amount", [0, -1, 10**18 + 1])
    def test_refuses_amounts_out_of_bounds(self, paywall, amount):
        with pytest.raises(InvalidRequestError):
            movements.deposit(paywall, "u", amount, WHY)

    def test_needs_a_reason(self, paywall):
        with pytest.raises(InvalidRequestError):
            movements.deposit(paywall, "u", 1, Reason(actor="dev_1", reason=" "))


class TestBonus:
    def test_is_booked_against_promo_and_spent_first(self, paywall):
        movements.deposit(paywall, "u", 100, WHY)
        movements.bonus(paywall, "u", 40, WHY)
        movements.charge(paywall, "u", 30, WHY)
        assert system(paywall, "promo") == -40
        assert Lot.objects.get(account=wallet(paywall)).remaining == 10


class TestAdjust:
    def test_down_takes_what_is_there_and_the_rest_is_owed(self, paywall):
        movements.deposit(paywall, "u", 100, WHY)
        movements.adjust(paywall, "u", -130, WHY)
        account = wallet(paywall)
        assert (account.posted, account.owed) == (0, 30)

    def test_the_next_credit_pays_what_is_owed_first(self, paywall):
        movements.deposit(paywall, "u", 100, WHY)
        movements.adjust(paywall, "u", -130, WHY)
        booked = movements.deposit(paywall, "u", 50, WHY)
        account = wallet(paywall)
        assert (account.posted, account.owed, booked.balance_nanos) == (20, 0, 20)
        kinds = [line.kind for line in statement(account.id)]
        assert kinds == ["collection", "deposit", "adjustment", "deposit"]

    def test_a_debt_blocks_spending(self, paywall):
        movements.adjust(paywall, "u", -10, WHY)
        with pytest.raises(InsufficientFundsError):
            movements.charge(paywall, "u", 1, WHY)

    def test_up_credits(self, paywall):
        assert movements.adjust(paywall, "u", 10, WHY).balance_nanos == 10


class TestCharge:
    def test_takes_all_or_nothing(self, paywall):
        movements.deposit(paywall, "u", 100, WHY)
        with pytest.raises(InsufficientFundsError):
            movements.charge(paywall, "u", 101, WHY)
        movements.charge(paywall, "u", 100, WHY)
        assert (wallet(paywall).posted, system(paywall, "revenue")) == (0, 100)


class TestRefund:
    def test_gives_back_up_to_the_charge_and_no_more(self, paywall):
        movements.deposit(paywall, "u", 100, WHY)
        charged = movements.charge(paywall, "u", 60, WHY).transaction_id
        movements.refund(charged, 20, WHY)
        with pytest.raises(RefundTooLargeError):
            movements.refund(charged, 41, WHY)
        assert movements.refund(charged, 40, WHY).balance_nanos == 100
        assert system(paywall, "revenue") == 0

    def test_of_nothing_is_unknown(self, paywall):
        with pytest.raises(UnknownChargeError):
            movements.refund(ids.uuid7(), 1, WHY)


class TestHistory:
    @pytest.mark.parametrize(
        "statement_",
        [
            "UPDATE ledger_entry SET amount = amount + 1",
            "DELETE FROM ledger_entry",
            "TRUNCATE ledger_entry CASCADE",
            "UPDATE ledger_transaction SET kind = 'bonus'",
            "DELETE FROM ledger_transaction",
            "DELETE FROM ledger_hold",
            "TRUNCATE ledger_account CASCADE",
        ],
    )
    def test_cannot_be_edited_even_by_the_owner(self, paywall, owner, statement_):
        movements.deposit(paywall, "u", 1, WHY)
        movements.charge(paywall, "u", 1, WHY)
        with pytest.raises(Exception, match="append-only"):
            owner.execute(statement_)

    def test_an_unbalanced_transaction_is_refused_even_to_the_owner(self, paywall, owner):
        movements.deposit(paywall, "u", 1, WHY)
        account = wallet(paywall)
        old = Transaction.objects.filter(entries__account=account).latest("id")
        with pytest.raises(Exception, match="do not balance"):
            owner.execute(
                "INSERT INTO ledger_entry (transaction_id, account_id, amount, created_at)"
                " VALUES (%s, %s, 5, now())",
                [old.id, account.id],
            )

    @pytest.mark.parametrize(
        "statement_",
        [
            "INSERT INTO ledger_entry (transaction_id, account_id, amount, created_at)"
            " SELECT transaction_id, account_id, amount, now() FROM ledger_entry LIMIT 1",
            "UPDATE ledger_account SET posted = posted + 1",
            "UPDATE ledger_hold SET amount = 0",
            "UPDATE billing_daily SET charged = 0",
        ],
    )
    def test_the_runtime_role_may_not_write_money_itself(self, paywall, statement_: Any):
        movements.deposit(paywall, "u", 1, WHY)
        with pytest.raises(Exception, match="permission denied"), connection.cursor() as cursor:
            cursor.execute(statement_)


class TestReferences:
    """A reference is one movement: whatever differs makes it another one, or a mistake."""

    def test_live_and_test_are_apart(self, paywall):
        why = Reason(actor="dev_1", reason="because", ref="in_1")
        movements.deposit(paywall, "u", 500, why, livemode=False)
        assert not movements.deposit(paywall, "u", 500, why).replayed

    def test_up_is_not_down(self, paywall):
        why = Reason(actor="dev_1", reason="because", ref="in_1")
        movements.adjust(paywall, "u", 5, why)
        with pytest.raises(IdempotencyMismatchError):
            movements.adjust(paywall, "u", -5, why)

    def test_what_expires_is_not_what_stays(self, paywall):
        why = Reason(actor="dev_1", reason="because", ref="in_1")
        movements.deposit(paywall, "u", 5, why)
        with pytest.raises(IdempotencyMismatchError):
            movements.deposit(paywall, "u", 5, why, expires_at=clock.now() + dt.timedelta(days=1))

    def test_one_charge_is_not_another(self, paywall):
        why = Reason(actor="dev_1", reason="because", ref="in_1")
        movements.deposit(paywall, "u", 500, WHY)
        movements.charge(paywall, "u", 5, why)
        with pytest.raises(IdempotencyMismatchError):
            movements.charge(paywall, "u", 6, why)

    def test_refunds_of_two_charges_are_two(self, paywall):
        movements.deposit(paywall, "u", 500, WHY)
        charges = [movements.charge(paywall, "u", 10, WHY) for _ in range(2)]
        why = Reason(actor="dev_1", reason="because", ref="re_1")
        refunds = [movements.refund(charge.transaction_id, 5, why) for charge in charges]
        assert [refund.replayed for refund in refunds] == [False, False]
        assert movements.refund(charges[0].transaction_id, 5, why).replayed
        assert wallet(paywall).posted == 490


def test_a_user_first_seen_by_hand_gets_the_trial(paywall):
    with transaction.atomic():
        rules.set_trial(paywall, amount_nanos=50, actor="dev_1")
    assert movements.deposit(paywall, "u", 500, WHY).balance_nanos == 550


def test_money_taken_back_takes_the_lot_it_came_in(paywall):
    """Else the lot would outlive its money, and expire with somebody's next deposit."""
    movements.deposit(paywall, "u", 50, WHY)
    user = EndUser.objects.get(paywall=paywall)
    hold(paywall, 50)
    movements.deposit(paywall, "u", 60, WHY, expires_at=clock.now() + dt.timedelta(days=1))
    movements.adjust(paywall, "u", -60, WHY)
    assert [lot.remaining for lot in Lot.objects.filter(account_id=user.wallet_id)] == [0]


def hold(paywall: Paywall, nanos: int) -> None:
    """Set money of user `u` aside, as a running request does."""
    asked = {"id": ids.uuid7(), "paywall": paywall.id, "live": True, "user": "u", "zone": "UTC"}
    terms = {"want": nanos, "least": nanos, "facts": {}}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT billing_reserve_one(%s::jsonb, %s, 30, 900)",
            [orjson.dumps(asked | terms).decode(), ids.uuid7()],
        )
