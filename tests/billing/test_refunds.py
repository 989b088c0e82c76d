"""Refunds give back what was taken: trial money comes back as trial money, and so on."""

import datetime as dt

import psycopg
import pytest
from django.db import transaction
from psycopg.types.json import Jsonb

from billing import movements
from billing.errors import RefundTooLargeError
from billing.movements import Reason
from config.kit import clock, ids
from ledger.invariants import LEDGER
from ledger.models import Account, Lot, Transaction
from paywalls import rules
from paywalls.models import EndUser, Paywall
from tests.factories import PaywallFactory

WHY = Reason(actor="dev_1", reason="because")
SOON = clock.now() + dt.timedelta(days=1)


@pytest.fixture
def paywall(payer, owner):
    """A wallet with a bonus of 40, 20 that expire, and 100; of which 90 are spent in one charge."""
    made = Paywall.objects.get(id=payer.paywall_id)
    movements.bonus(made, "u", 40, WHY)
    movements.deposit(made, "u", 20, WHY, expires_at=SOON)
    movements.deposit(made, "u", 100, WHY)
    yield made
    for invariant in LEDGER:
        broken = {row[0] for row in owner.execute(invariant.query).fetchall()}
        assert not broken & {wallet_id(made), *lot_ids(made)}, invariant.number


@pytest.fixture
def charge(paywall):
    return movements.charge(paywall, "u", 90, WHY).transaction_id


def wallet_id(paywall: Paywall):
    return EndUser.objects.get(paywall=paywall).wallet_id


def lot_ids(paywall: Paywall):
    return Lot.objects.filter(account_id=wallet_id(paywall)).values_list("id", flat=True)


def lots(paywall: Paywall) -> list[tuple[str, int]]:
    found = Lot.objects.filter(account_id=wallet_id(paywall)).order_by("priority")
    return [(lot.kind, lot.remaining) for lot in found]


def expire(owner: psycopg.Connection, paywall: Paywall, kind: str) -> None:
    owner.execute(
        "UPDATE ledger_lot SET expires_at = now() - interval '1 s'"
        " WHERE account_id = %s AND kind = %s",
        [wallet_id(paywall), kind],
    )


def test_all_of_a_charge_restores_the_wallet(paywall, charge):
    assert lots(paywall) == [("bonus", 0), ("deposit", 0)]
    assert movements.refund(charge, 90, WHY).balance_nanos == 160
    assert lots(paywall) == [("bonus", 40), ("deposit", 20)]
    assert Account.objects.get(id=wallet_id(paywall)).has_lots


def test_what_was_spent_last_comes_back_first(paywall, charge):
    for amount, left in (
        (25, [("bonus", 0), ("deposit", 0)]),
        (10, [("bonus", 0), ("deposit", 5)]),
        (25, [("bonus", 10), ("deposit", 20)]),
        (30, [("bonus", 40), ("deposit", 20)]),
    ):
        movements.refund(charge, amount, WHY)
        assert lots(paywall) == left
    with pytest.raises(RefundTooLargeError):
        movements.refund(charge, 1, WHY)


def test_what_comes_back_to_a_lot_is_spent_as_that_lot(paywall, charge):
    movements.refund(charge, 90, WHY)
    movements.charge(paywall, "u", 45, WHY)
    assert lots(paywall) == [("bonus", 0), ("deposit", 15)]


def test_a_repeated_refund_gives_back_once(paywall, charge):
    why = Reason(actor="dev_1", reason="because", ref="r1")
    assert movements.refund(charge, 90, why).balance_nanos == 160
    again = movements.refund(charge, 90, why)
    assert (again.replayed, again.balance_nanos) == (True, 160)
    assert lots(paywall) == [("bonus", 40), ("deposit", 20)]


def test_what_expired_meanwhile_expires_when_it_comes_back(paywall, charge, owner):
    expire(owner, paywall, "deposit")
    assert movements.refund(charge, 90, WHY).balance_nanos == 140
    assert lots(paywall) == [("bonus", 40), ("deposit", 0)]
    breakage = Account.objects.get(kind="breakage", owner=paywall.id)
    booked = Transaction.objects.filter(kind="expiry", entries__account=breakage)
    assert [entry.amount for entry in booked.get().entries.filter(account=breakage)] == [20]


def test_a_debt_is_paid_by_what_is_left_after_that(paywall, charge, owner):
    movements.adjust(paywall, "u", -100, WHY)
    assert Account.objects.get(id=wallet_id(paywall)).owed == 30
    expire(owner, paywall, "deposit")
    assert movements.refund(charge, 90, WHY).balance_nanos == 40
    wallet = Account.objects.get(id=wallet_id(paywall))
    assert (wallet.owed, wallet.posted) == (0, 40)
    assert lots(paywall) == [("bonus", 40), ("deposit", 0)]


def test_a_trial_comes_back_as_a_trial(payer, owner):
    paywall = Paywall.objects.get(id=payer.paywall_id)
    with transaction.atomic():
        rules.set_trial(paywall, amount_nanos=50, actor="dev_1")
    charged = movements.charge(paywall, "u", 30, WHY).transaction_id
    movements.refund(charged, 20, WHY)
    assert lots(paywall) == [("trial", 40)]


class TestWhereMoneyMayGo:
    def test_a_charge_goes_to_the_paywalls_own_revenue(self, paywall, runtime):
        """Whatever a process that is no longer ours asks for."""
        other = PaywallFactory.create()
        movements.deposit(other, "thief", 1, WHY)
        movements.charge(other, "thief", 1, WHY)
        ask = {
            "id": str(ids.uuid7()),
            "txn": str(ids.uuid7()),
            "paywall": str(paywall.id),
            "live": True,
            "cur": "USD",
            "zone": "UTC",
            "user": "u",
            "want": 1,
            "ref": "x",
        }
        for to in (
            Account.objects.get(kind="revenue", owner=other.id).id,
            wallet_id(other),
            Account.objects.get(kind="external", owner=paywall.id).id,
            runtime.execute("SELECT billing_revenue(%s, false)", [paywall.id]).fetchone()[0],
            ids.uuid7(),
            None,
        ):
            with pytest.raises(psycopg.Error) as refused:
                runtime.execute(
                    "SELECT billing_charge_one(%s)", [Jsonb(ask | {"to": to and str(to)})]
                )
            assert refused.value.sqlstate == "PW004"

    def test_there_is_no_revenue_of_nobody(self, runtime):
        query = "SELECT billing_revenue(%s, true)"
        assert runtime.execute(query, [ids.uuid7()]).fetchone() == (None,)
