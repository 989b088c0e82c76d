import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from django.db import connection
from django.test import Client

from billing.stripe import checkout, fulfil, inbox, orders, reconcile
from billing.stripe.catalog import Pack, PaymentSettings
from billing.stripe.errors import StripeBusyError
from billing.stripe.models import InboxEvent, Order
from ledger.models import Lot
from tests.fakes.stripe.keys import seeded
from tests.stripe.till import UNIT, Till, new_user


class TestPaid:
    def test_credit_comes_once_with_stripes_reference(self, till: Till):
        order = till.paid(10)
        assert (order.status, order.paid_minor) == ("paid", 1000)
        assert till.posted == 10 * UNIT
        (topup,) = till.topups()
        assert (topup.id, topup.ref) == (order.transaction_id, order.session_id)
        assert order.payment_intent_id.startswith("pi_")
        assert order.receipt_url

    @pytest.mark.proves("F49", "T11", "I11")
    def test_five_copies_the_return_page_and_the_reconciler_at_once(self, till: Till):
        order = till.order()
        till.pay(order)
        (event,) = [e for e in till.news(order) if e["type"] == "checkout.session.completed"]
        signed = till.fake.signed(event["id"])[0]
        path = "/" + signed["url"].partition("//")[2].partition("/")[2]

        def deliver() -> None:
            headers = {"Stripe-Signature": signed["signature"]}
            Client().post(path, signed["body"], "application/json", headers=headers)
            stored = InboxEvent.objects.select_related("account__paywall")
            inbox.process(stored.get(account=till.account, event_id=event["id"]))

        def look() -> None:
            Client().get(f"{till.page}/order/{order.public_id}")

        work = [deliver] * 5 + [look] * 3 + [lambda: reconcile.reconcile(till.account)]
        with ThreadPoolExecutor(len(work)) as pool:
            for done in [pool.submit(_apart, each) for each in work]:
                done.result()
        assert till.posted == 10 * UNIT
        assert len(till.topups()) == 1
        assert till.again(order).status == "paid"

    @pytest.mark.proves("F50")
    def test_the_order_of_events_makes_no_difference(self, till: Till):
        """completed, pi.succeeded, refunds: every permutation of them."""
        for number, order_of in enumerate(itertools.permutations(range(3))):
            till.user = new_user(till.paywall)
            order = till.order(10 + number)
            till.pay(order)
            till.fake.test("refunds", session=order.session_id, amount=300)
            wanted = ("checkout.session.completed", "payment_intent.succeeded", "charge.refunded")
            events = {event["type"]: event["id"] for event in till.news(order)}
            for index in order_of:
                till.hear_one(events[wanted[index]])
            assert till.total == (10 + number) * UNIT - 3 * UNIT, order_of

    def test_a_pack_brings_its_bonus(self, till: Till):
        pack = Pack.objects.create(
            paywall=till.paywall,
            name="Big",
            price_minor=999,
            currency="USD",
            credit_nanos=12 * UNIT,
            bonus_nanos=2 * UNIT,
        )
        order = checkout.click(till.user, orders.pack(pack))
        till.pay(order)
        fulfil.fulfil(order)
        assert till.posted == 14 * UNIT
        (lot,) = Lot.objects.filter(account_id=str(till.user.wallet_id))
        assert (lot.kind, lot.remaining) == ("bonus", 2 * UNIT)

    def test_yen_have_no_cents(self, till: Till):
        till.paywall.currency = "JPY"
        yen = orders.terms_of(PaymentSettings(paywall=till.paywall))
        assert orders.topup(yen, yen.suggested_nanos[0]).price_minor == 1000


class TestNotPaid:
    @pytest.mark.proves("F53", "T13")
    def test_a_delayed_payment_waits_for_the_bank(self, till: Till):
        order = till.order()
        till.pay(order, "pay_async")
        till.hear(order)
        assert till.again(order).status == "pending"
        assert till.posted == 0
        till.pay(order, "async_succeed")
        till.hear(order)
        assert (till.again(order).status, till.posted) == ("paid", 10 * UNIT)
        till.hear(order)
        assert till.posted == 10 * UNIT

    @pytest.mark.proves("F53", "T13")
    def test_a_delayed_payment_that_fails_brings_nothing(self, till: Till):
        order = till.order()
        till.pay(order, "pay_async")
        till.pay(order, "async_fail")
        till.hear(order)
        assert (till.again(order).status, till.posted) == ("failed", 0)

    def test_a_declined_card_leaves_the_page_open(self, till: Till):
        order = till.order()
        till.pay(order, "decline")
        till.hear(order)
        assert (till.again(order).status, till.posted) == ("open", 0)

    @pytest.mark.proves("F62")
    def test_an_expired_session_closes_the_order_and_a_click_makes_another(self, till: Till):
        order = till.order()
        till.pay(order, "expire")
        again = till.order()
        assert till.again(order).status == "expired"
        assert again.pk != order.pk
        assert again.session_id != order.session_id
        assert again.status == "open"

    @pytest.mark.proves("F62")
    def test_money_that_comes_late_is_credited_once(self, till: Till):
        order = till.order()
        Order.objects.filter(pk=order.pk).update(status="expired")
        till.pay(order)
        till.hear(order)
        till.hear(order)
        assert (till.again(order).status, till.posted) == ("paid", 10 * UNIT)


class TestCoupons:
    @pytest.fixture
    def order(self, till: Till) -> Order:
        """With a session that takes a code of 100 %."""
        PaymentSettings.objects.create(paywall=till.paywall, promotion_codes=True)
        v1 = till.fake.client(seeded("sk", "live")).v1
        coupon = v1.coupons.create({"percent_off": 100, "duration": "once"})
        v1.promotion_codes.create(
            {"code": "FREE", "promotion": {"type": "coupon", "coupon": coupon.id}}
        )
        return till.order()

    @pytest.mark.proves("T13")
    def test_what_was_ordered_is_credited_whatever_it_cost(self, till: Till, order: Order):
        till.pay(order, promotion_code="FREE")
        till.hear(order)
        paid = till.again(order)
        assert (paid.status, paid.paid_minor, till.posted) == ("paid", 0, 10 * UNIT)

    @pytest.mark.proves("T13")
    def test_a_discount_that_nobody_allowed_is_looked_at(self, till: Till, order: Order):
        till.pay(order, promotion_code="FREE")
        till.fake.test("objects", str(order.session_id), allow_promotion_codes=False)
        till.hear(order)
        assert (till.again(order).status, till.posted) == ("quarantined", 0)


class TestWrong:
    @pytest.mark.proves("F52", "T12")
    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"amount_subtotal": 1}, "amount"),
            ({"currency": "eur"}, "currency"),
            ({"amount_total": 999}, "only 999"),
            ({"livemode": False}, "mode"),
            ({"metadata": {}}, "paywall"),
        ],
    )
    def test_what_differs_from_the_order_is_quarantined(self, till: Till, change, said):
        order = till.order()
        till.pay(order)
        till.fake.test("objects", str(order.session_id), **change)
        (outcome,) = [each for each in till.hear(order) if each and each.state == "quarantined"][:1]
        assert said in outcome.reason
        assert (till.again(order).status, till.posted) == ("quarantined", 0)

    @pytest.mark.proves("F52", "T12")
    def test_another_paywalls_order_is_not_paid_by_our_session(self, till: Till):
        order, other = till.order(), till.order(20)
        metadata = {"paywalls_paywall": till.paywall.public_id, "paywalls_order": other.public_id}
        till.pay(order)
        till.fake.test("objects", str(order.session_id), metadata=metadata)
        till.hear(order)
        assert till.posted == 0
        assert till.again(other).status == "open"

    @pytest.mark.proves("F52")
    @pytest.mark.parametrize(
        ("metadata", "state"),
        [
            ({}, "ignored"),
            ({"paywalls_paywall": "pw_00000000000000000000000000"}, "quarantined"),
            ({"paywalls_order": "ord_00000000000000000000000000"}, "quarantined"),
        ],
    )
    def test_sessions_that_we_did_not_make(self, till: Till, metadata, state):
        made = till.foreign(**metadata)
        (event,) = [e for e in till.news(made) if e["type"] == "checkout.session.completed"]
        outcome = till.hear_one(event["id"])
        assert outcome
        assert outcome.state == state
        assert till.posted == 0

    def test_an_order_can_be_looked_at_again(self, till: Till):
        order = till.order()
        till.pay(order)
        till.fake.test("objects", str(order.session_id), amount_subtotal=1)
        assert fulfil.fulfil(order).status == "quarantined"
        till.fake.test("objects", str(order.session_id), amount_subtotal=1000)
        assert fulfil.fulfil(till.again(order)).status == "paid"
        assert till.posted == 10 * UNIT


class TestJudge:
    def test_tax_on_top_is_fine(self, till: Till):
        order = till.order()
        till.pay(order)
        session = till.fake.test("objects", str(order.session_id), method="GET")
        payment = fulfil.of_session(session | {"payment_intent": None})
        assert fulfil.judge(order, replace(payment, total_minor=1190))[0] == "paid"

    def test_free_without_a_coupon_is_not(self, till: Till):
        order = till.order()
        session = till.fake.test("objects", str(order.session_id), method="GET")
        free = session | {"status": "complete", "payment_status": "no_payment_required"}
        free |= {"payment_intent": None}
        assert fulfil.judge(order, fulfil.of_session(free))[0] == "quarantined"


@pytest.mark.proves("F54")
def test_a_crash_between_event_and_credit(till: Till):
    """Stripe fails while the event is handled: it stays, and the next try credits."""
    order = till.order()
    till.pay(order)
    (event,) = [e for e in till.news(order) if e["type"] == "checkout.session.completed"]
    till.fake.test("faults", kind="429", path="/v1/checkout/*")
    assert till.hear_one(event["id"]) is None
    assert till.posted == 0
    stored = InboxEvent.objects.select_related("account__paywall").get(event_id=event["id"])
    assert stored.state == "received"
    inbox.process(stored)
    assert till.posted == 10 * UNIT


def test_a_broken_stripe_is_told_to_the_caller(till: Till):
    order = till.order()
    till.fake.test("faults", kind="429", path="/v1/checkout/*")
    with pytest.raises(StripeBusyError):
        fulfil.fulfil(order)


def _apart(work) -> None:
    """In a thread, whose connection is closed at the end."""
    try:
        work()
    finally:
        connection.close()
