"""Automatic top-ups: the card is charged once, for what was agreed, and credited once."""

import datetime as dt

import pytest
from django.db import IntegrityError, transaction

from billing.stripe import (
    agreements,
    fulfil,
    low_balances,
    orders,
    payment_settings,
    reconcile,
    refill_rules,
    refills,
)
from billing.stripe.errors import StripeBusyError
from billing.stripe.models import Order
from billing.stripe.refill_models import RefillAgreement
from config.kit import clock
from tests.factories import ACTOR, MembershipFactory
from tests.fakes.stripe.keys import seeded
from tests.stripe.refilling import Refiller, at_once, check_paid_once, offer
from tests.stripe.till import UNIT


class Killed(BaseException):
    """The process ends here."""


class TestRefill:
    def test_a_low_balance_is_topped_up_with_the_saved_card(self, refiller: Refiller):
        refiller.deposit(6)
        refiller.ready()
        refiller.work()
        assert refiller.orders == []
        refiller.spend(2)
        refiller.work()
        (order,) = refiller.orders
        assert (order.status, order.price_minor, order.session_id) == ("paid", 1000, None)
        assert order.receipt_url
        check_paid_once(refiller)
        (topup,) = refiller.till.topups()
        assert (topup.id, topup.ref) == (order.transaction_id, order.payment_intent_id)
        refiller.work()
        assert len(refiller.orders) == 1
        assert refiller.agreement.due_at is None

    def test_it_goes_on_until_the_balance_is_there(self, refiller: Refiller):
        refiller.ready(below=25)
        refiller.work()
        assert [order.status for order in refiller.orders] == ["paid"] * 3
        assert refiller.till.posted == 30 * UNIT

    def test_three_triggers_at_once_are_one_payment(self, low: Refiller):
        low_balances.watch()
        agreement = low.agreement
        at_once(3, lambda: refills.run(agreement))
        low.hurry()
        at_once(3, refills.run_due)
        check_paid_once(low)

    def test_workers_who_both_ask_stripe_charge_once(self, low: Refiller):
        """Neither has heard of the other's payment."""
        agreement = low.agreement
        order = refills._order(agreement)
        assert order
        for _ in range(2):
            refills._pay(agreement, orders.find(order.pk))
        assert len(low.payments()) == 1
        low.work()
        check_paid_once(low)

    def test_the_most_of_a_month_holds_exactly_whoever_comes(self, refiller: Refiller):
        agreement = refiller.ready(below=90, amount=10, most=35)

        def insist() -> None:
            for _ in range(4):
                refills.run(agreement)

        at_once(3, insist)
        refiller.hurry()
        refills.run_due()
        assert [order.status for order in refiller.orders] == ["paid"] * 3
        assert refiller.till.posted == 30 * UNIT
        begin, end = refill_rules.month_of(clock.now(), refiller.till.paywall)
        assert refiller.agreement.due_at == end
        Order.objects.filter(user=refiller.user).update(created_at=begin - dt.timedelta(seconds=1))
        refiller.hurry()
        refills.run_due()
        assert len(refiller.orders) == 6

    def test_the_news_of_it_book_it_once_too(self, low: Refiller):
        low.work()
        (order,) = low.orders
        assert {each and each.state for each in low.till.hear(order.payment_intent_id)} <= {
            "done",
            None,
        }
        fulfil.fulfil(order)
        check_paid_once(low)

    def test_a_balance_that_falls_while_a_worker_looks_is_seen(self, refiller: Refiller):
        refiller.deposit(6)
        refiller.ready()
        agreement = refills._claim()
        assert agreement
        refiller.spend(2)
        low_balances.watch()
        agreements.later(agreement, None)
        assert refiller.agreement.due_at
        RefillAgreement.objects.filter(pk=agreement.pk).update(leased_until=None)
        refills.run_due()
        check_paid_once(refiller)

    def test_it_is_looked_at_again_when_it_is_offered_again(self, low: Refiller):
        with transaction.atomic():
            payment_settings.offer_refills(low.till.paywall, is_on=False, actor=ACTOR)
        low.work()
        assert low.orders == []
        offer(low.till)
        refills.run_due()
        check_paid_once(low)


class TestOpenOnce:
    def test_the_database_knows_no_second_order_under_way(self, refiller: Refiller):
        agreement = refiller.ready()
        row = {
            "paywall": refiller.till.paywall,
            "user": refiller.user,
            "account": refiller.till.account,
            "livemode": True,
            "kind": "refill",
            "agreement": agreement,
            "price_minor": 1000,
            "currency": "USD",
            "credit_nanos": UNIT,
        }
        first = Order.objects.create(**row)
        with pytest.raises(IntegrityError):
            Order.objects.create(**row, status="pending")
        Order.objects.filter(pk=first.pk).update(status="failed")
        Order.objects.filter(pk=Order.objects.create(**row).pk).update(status="canceled")


class TestKilled:
    def test_after_the_order_was_written(self, low: Refiller, monkeypatch):
        self.die(low, monkeypatch, "_pay")
        (order,) = low.orders
        assert (order.status, order.payment_intent_id) == ("open", "")
        assert low.payments() == []
        self.go_on(low)

    def test_after_stripe_took_the_money(self, low: Refiller, monkeypatch):
        self.die(low, monkeypatch, "_name")
        (order,) = low.orders
        assert (order.status, order.payment_intent_id) == ("open", "")
        assert len(low.payments()) == 1
        Order.objects.filter(pk=order.pk).update(attempt=7)  # The key is no help any more.
        self.go_on(low)

    def test_before_it_was_booked(self, low: Refiller, monkeypatch):
        self.die(low, monkeypatch, "fulfil")
        assert low.till.posted == 4 * UNIT
        self.go_on(low)

    @pytest.mark.proves("F54")
    def test_the_news_come_before_anybody_goes_on(self, low: Refiller, monkeypatch):
        self.die(low, monkeypatch, "_name")
        (payment,) = low.payments()
        low.till.hear(payment["id"])
        check_paid_once(low)
        self.go_on(low)

    @pytest.mark.proves("F55")
    def test_the_reconciler_finds_what_nobody_goes_on_with(self, low: Refiller, monkeypatch):
        self.die(low, monkeypatch, "fulfil")
        RefillAgreement.objects.filter(pk=low.agreement.pk).update(due_at=None)
        reconcile.reconcile(low.till.account)
        check_paid_once(low)

    def test_an_order_that_nobody_wants_any_more_is_not_paid(self, low: Refiller, monkeypatch):
        self.die(low, monkeypatch, "_pay")
        agreements.switch_off(low.customer)
        low.hurry()
        low.work()
        assert [order.status for order in low.orders] == ["canceled"]
        assert low.payments() == []

    def test_what_was_taken_is_credited_although_it_was_switched_off(self, low, monkeypatch):
        self.die(low, monkeypatch, "_name")
        agreements.switch_off(low.customer)
        low.hurry()
        low.work()
        check_paid_once(low)

    @pytest.mark.parametrize("kind", ["500", "500_after"])
    def test_an_answer_that_was_an_error(self, low: Refiller, kind):
        low.till.fake.test("faults", kind=kind, path="/v1/payment_intents", method="POST")
        low.work()
        (order,) = low.orders
        assert (order.status, order.attempt) == ("open", 1)
        assert low.agreement.declines == 0
        self.go_on(low)

    def test_where_stripe_hangs_one_worker_waits_and_no_other(self, low: Refiller, monkeypatch):
        low_balances.watch()

        def hangs(*_: object) -> None:
            assert refills.run_due() == 0
            raise StripeBusyError("Stripe cannot be reached.")

        with monkeypatch.context() as patch:
            patch.setattr(refills, "_pay", hangs)
            assert refills.run_due() == 1
        self.go_on(low)

    def die(self, refiller: Refiller, monkeypatch, where: str) -> None:
        def killed(*_: object) -> None:
            raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(refills, where, killed)
            with pytest.raises(Killed):
                refiller.work()
        refiller.work()  # Nobody else has it yet: its lease runs.
        assert {order.status for order in refiller.orders} == {"open"}

    def go_on(self, refiller: Refiller) -> None:
        refiller.hurry()
        refiller.work()
        check_paid_once(refiller)


class TestDeclined:
    @pytest.mark.parametrize("card", ["chargeCustomerFail", "authenticationRequired"])
    def test_twice_in_a_row_ends_it_and_says_why(self, low: Refiller, card, mailoutbox):
        MembershipFactory.create(team=low.till.paywall.team)
        low.spoil(card)
        low.work()
        (order,) = low.orders
        assert order.status == "failed"
        assert "declined" in order.reason
        agreement = low.agreement
        assert (agreement.status, agreement.declines) == ("on", 1)
        low.till.hear(order.payment_intent_id)
        low.work()
        assert len(low.orders) == 1
        low.hurry()
        low.work()
        agreement = low.agreement
        assert (agreement.status, agreement.declines) == ("off", 2)
        assert agreement.trouble.startswith("The card was declined 2 times: Your card")
        assert low.till.posted == 4 * UNIT
        low.spend(1)
        low.work()
        assert len(low.orders) == 2
        low_balances.mail_due()
        low_balances.mail_due()
        (mail,) = [each for each in mailoutbox if low.till.paywall.name in each.subject]
        assert low.user.external_id in mail.body
        assert "declined 2 times" in mail.body

    def test_a_payment_that_works_forgives_it(self, low: Refiller):
        low.spoil("chargeCustomerFail")
        low.work()
        low.spoil("visa")
        low.hurry()
        low.work()
        assert [order.status for order in low.orders] == ["failed", "paid"]
        assert low.agreement.declines == 0

    def test_a_card_that_is_gone_at_stripe_ends_it(self, low: Refiller):
        v1 = low.till.fake.client(seeded("sk", "live")).v1
        v1.payment_methods.detach(low.customer.payment_method_id)
        low.till.fake.test("objects", low.customer.payment_method_id, customer="cus_other")
        low.work()
        assert [order.status for order in low.orders] == ["failed"]
        assert low.agreement.status == "off"
        assert low.agreement.trouble
