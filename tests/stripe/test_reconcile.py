import pytest

from billing.stripe import client, reconcile
from billing.stripe.errors import StripeBusyError
from billing.stripe.models import Order, Reversal
from tests.stripe.till import UNIT, Till, open_till
from tests.support.commands import run_json


@pytest.mark.proves("F55")
class TestWithoutAnyWebhook:
    def test_payments_are_credited(self, till: Till):
        order = till.order()
        till.pay(order)
        reconcile.reconcile(till.account)
        assert (till.again(order).status, till.posted) == ("paid", 10 * UNIT)

    def test_delayed_ones_as_well(self, till: Till):
        order = till.order()
        till.pay(order, "pay_async")
        reconcile.reconcile(till.account)
        assert till.again(order).status == "pending"
        till.pay(order, "async_succeed")
        _again(till)
        assert (till.again(order).status, till.posted) == ("paid", 10 * UNIT)

    def test_a_session_whose_id_never_reached_us(self, till: Till):
        order = till.order()
        till.pay(order)
        Order.objects.filter(pk=order.pk).update(session_id=None, session_url="")
        reconcile.reconcile(till.account)
        assert till.posted == 10 * UNIT

    def test_refunds_and_their_failures(self, till: Till):
        order = till.paid()
        refund = till.fake.test("refunds", session=order.session_id, amount=400)
        reconcile.reconcile(till.account)
        assert till.total == 6 * UNIT
        till.fake.test("refunds", refund["id"], "fail")
        _again(till)
        assert till.total == 10 * UNIT

    def test_disputes_to_their_end(self, till: Till):
        order = till.paid()
        for moment, left in (("open", 10), ("withdraw", 0), ("win", 10)):
            till.fake.test("disputes", str(order.session_id), moment)
            _again(till)
            assert till.total == left * UNIT, moment
        assert Reversal.objects.get(order=order).status == "won"

    def test_sessions_that_nobody_paid_end(self, till: Till):
        order = till.order()
        till.pay(order, "expire")
        Order.objects.filter(pk=order.pk).update(session_expires_at=order.created_at)
        reconcile.reconcile(till.account)
        assert till.again(order).status == "expired"


def test_again_and_again_changes_nothing(till: Till):
    order = till.paid()
    till.fake.test("refunds", session=order.session_id, amount=400)
    for _ in range(3):
        _again(till)
    assert till.total == 6 * UNIT


def test_the_next_run_begins_where_the_last_one_worked(till: Till):
    till.fake.test("faults", kind="429", path="/v1/refunds")
    with pytest.raises(StripeBusyError):
        reconcile.reconcile(till.account)
    till.account.refresh_from_db()
    assert till.account.reconciled_at is None
    _again(till)
    assert till.account.reconciled_at


def test_one_account_with_trouble_does_not_stop_the_others(till: Till, monkeypatch):
    """All keys but ours are unknown to this stand-in."""
    order = till.order()
    till.pay(order)
    other = open_till(till.fake)
    known = client.open_key
    monkeypatch.setattr(
        "billing.stripe.client.open_key",
        lambda row: known(row) if row.pk == till.account.pk else "rk_live_unknown1234567890",
    )
    reconcile.reconcile_all()
    assert till.posted == 10 * UNIT
    other.account.refresh_from_db()
    assert other.account.reconciled_at is None


def test_a_mistake_of_ours_does_not_stop_the_others_either(till: Till, caplog):
    order = till.paid()
    refund = till.fake.test("refunds", session=order.session_id, amount=400)
    till.fake.test("objects", refund["id"], amount="no number")
    other = open_till(till.fake)
    later = other.order()
    other.pay(later)
    reconcile.reconcile_all()
    assert other.again(later).status == "paid"
    assert any("Traceback" in str(record.msg) for record in caplog.records)


def test_the_command_says_what_it_saw(till: Till):
    till.paid()
    assert run_json("reconcile_stripe", till.paywall.public_id)["sessions"] == 0


def _again(till: Till) -> None:
    till.account.refresh_from_db()
    reconcile.reconcile(till.account)
    till.account.refresh_from_db()
