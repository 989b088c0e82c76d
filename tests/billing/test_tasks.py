"""Periodic work: each task may run twice, late, or not at all."""

import datetime as dt

from billing import movements, tasks
from billing.models import Answer
from billing.movements import Reason
from config.kit import clock, ids
from ledger.models import Account, Transaction, Verification
from paywalls.models import EndUser, Paywall
from tests.billing.conftest import ask, bill, deposit

WHY = Reason(actor="dev_1", reason="because")


def test_expired_credit_is_booked_once(payer, owner):
    paywall = Paywall.objects.get(id=payer.paywall_id)
    soon = clock.now() + dt.timedelta(days=1)
    movements.deposit(paywall, "u", 100, WHY, expires_at=soon)
    movements.deposit(paywall, "u", 10, WHY)
    wallet = EndUser.objects.get(paywall=paywall).wallet_id
    owner.execute(
        "UPDATE ledger_lot SET expires_at = now() - interval '1 s' WHERE account_id = %s", [wallet]
    )
    tasks.expire_lots()
    tasks.expire_lots()
    assert Account.objects.get(id=wallet).posted == 10
    booked = Transaction.objects.filter(kind="expiry", entries__account_id=wallet)
    assert booked.count() == 1


def test_answers_are_forgotten_after_their_day():
    kept = [
        Answer.objects.create(
            request_id=ids.uuid7(),
            sealed=b"",
            content_type="x",
            expires_at=clock.now() + dt.timedelta(hours=hours),
        )
        for hours in (-1, 1)
    ]
    tasks.expire_lots()
    found = Answer.objects.filter(request_id__in=[answer.request_id for answer in kept])
    assert [answer.request_id for answer in found] == [kept[1].request_id]


def test_the_request_log_has_its_months_ahead_and_making_them_again_makes_none(owner):
    month = clock.now().strftime("billing_request_%Y_%m")
    names = [
        row[0]
        for row in owner.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits"
            " WHERE inhparent = 'billing_request'::regclass"
        ).fetchall()
    ]
    assert month in names
    assert len(names) >= tasks.MONTHS_AHEAD + 2
    assert tasks.ensure_partitions() == []


def test_the_nightly_check_keeps_its_run_and_names_what_is_broken(payer, owner):
    paywall = Paywall.objects.get(id=payer.paywall_id)
    movements.deposit(paywall, "u", 100, WHY)
    charge = movements.charge(paywall, "u", 5, WHY).transaction_id
    change = "UPDATE billing_charge SET charged = charged + %s WHERE transaction_id = %s"
    owner.execute(change, [1, charge])
    assert "I23" in tasks.verify_ledger()
    assert not Verification.objects.latest("id").ok
    owner.execute(change, [-1, charge])


async def test_a_request_lands_in_its_month(gate, payer, owner):
    await deposit(gate, payer, 1_000)
    asked = ask(payer, 10)
    await gate.reserve(asked)
    await gate.settle(bill(asked, 5))
    (where,) = owner.execute(
        "SELECT tableoid::regclass::text FROM billing_request WHERE id = %s", [asked.request_id]
    ).fetchone()
    assert where == clock.now().strftime("billing_request_%Y_%m")
