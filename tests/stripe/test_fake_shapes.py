"""Every object of the stand-in, in every state, is what stripe-python says it is."""

import copy
from collections import defaultdict
from contextlib import suppress
from typing import Any

import pytest
import stripe

from tests.fakes.stripe.expand import public
from tests.fakes.stripe.shapes import faults_of
from tests.stripe import test_fake_connect, test_fake_money, test_fake_plans
from tests.stripe.conftest import Shop

STATES = {
    "checkout.session": {"open", "complete", "expired"},
    "dispute": {"needs_response", "under_review", "won", "lost", "warning_closed"},
    "invoice": {"draft", "open", "paid", "void"},
    "payment_intent": {
        *("canceled", "processing", "requires_action", "requires_confirmation"),
        *("requires_payment_method", "succeeded"),
    },
    "payout": {"pending", "paid", "failed", "canceled"},
    "refund": {"failed", "pending", "succeeded"},
    "setup_intent": {"requires_action", "requires_payment_method", "succeeded"},
    "subscription": {"active", "canceled", "incomplete_expired", "past_due", "trialing"},
}


def live_a_life(shop: Shop) -> None:
    """Leave objects in all states behind."""
    sessions(shop)
    intents(shop)
    reversals(shop)
    plans(shop)
    connect(shop)
    shop.session()
    shop.v1.webhook_endpoints.create(
        params={"url": "http://127.0.0.1:9/hook", "enabled_events": ["*"], "connect": True}
    )


def sessions(shop: Shop) -> None:
    coupon = shop.v1.coupons.create(params={"percent_off": 10, "duration": "forever"})
    promotion: Any = {"promotion": {"type": "coupon", "coupon": coupon.id}, "code": "TEN"}
    shop.v1.promotion_codes.create(params=promotion)
    shop.finish(shop.session(allow_promotion_codes=True), promotion_code="TEN")
    shop.paid(automatic_tax={"enabled": True}, invoice_creation={"enabled": True})
    shop.paid(mode="setup", customer_creation="always")
    shop.finish(shop.session(), "decline")
    shop.finish(shop.session(), "expire")
    for ending in ("async_succeed", "async_fail"):
        session = shop.session()
        shop.finish(session, "pay_async")
        shop.finish(session, ending)
    shop.finish(shop.session(), "pay_async")


def intents(shop: Shop) -> None:
    params: Any = {"amount": 700, "currency": "usd"}
    shop.v1.payment_intents.create(params=params)
    shop.v1.payment_intents.create(params={**params, "payment_method": "pm_card_visa"})
    canceled = shop.v1.payment_intents.create(params=params)
    shop.v1.payment_intents.cancel(canceled.id)
    question: Any = {"payment_method": "pm_card_authenticationRequired", "confirm": True}
    shop.v1.payment_intents.create(params={**params, **question})
    shop.v1.setup_intents.create(params=question)
    for card in ("chargeDeclined", "createDispute", "createIssuerFraudRecord", "chargeDeclined"):
        with suppress(stripe.CardError):
            shop.v1.payment_intents.create(
                params={**params, "payment_method": f"pm_card_{card}", "confirm": True}
            )
    with suppress(stripe.CardError):
        shop.v1.setup_intents.create(
            params={"payment_method": "pm_card_chargeDeclined", "confirm": True}
        )


def reversals(shop: Shop) -> None:
    test_fake_money.test_refunds_in_parts_then_one_fails_and_comes_back(shop)
    shop.fake.test("refunds", session=shop.paid()["id"], pending=True)
    for endings in (["win"], ["lose"], ["update"]):
        session = shop.paid()
        for moment in ("open", "withdraw", *endings):
            shop.fake.test("disputes", session["id"], moment)
    test_fake_money.test_an_inquiry_and_a_warning_move_no_money(shop)


def plans(shop: Shop) -> None:
    test_fake_plans.test_a_customer_without_a_good_card_stays_incomplete(shop)
    test_fake_plans.test_an_upgrade_is_prorated_as_asked(
        shop, "always_invoice", [("subscription_update", 1500, "paid")], 5000
    )
    session, _ = shop.subscribed()
    shop.fake.test("customers", session["customer"], "card", card="chargeCustomerFail")
    shop.later(days=32)
    for invoice in shop.v1.invoices.list(params={"status": "open", "limit": 1}).data:
        shop.v1.invoices.void_invoice(invoice.id)
    shop.subscribed(subscription_data={"trial_period_days": 7})
    shop.v1.subscriptions.cancel(shop.subscribed()[1].id)
    customer = session["customer"]
    shop.v1.invoice_items.create(params={"customer": customer, "amount": 5, "currency": "usd"})
    shop.v1.invoices.create(
        params={"customer": customer, "pending_invoice_items_behavior": "include"}
    )
    shop.v1.billing_portal.sessions.create(params={"customer": customer})
    late, _ = shop.subscribed()
    shop.fake.test("customers", late["customer"], "card", card="chargeCustomerFail")
    shop.later(days=32)


def connect(shop: Shop) -> None:
    test_fake_connect.test_a_transfer_is_reversed_in_parts_and_the_rest_paid_out(shop)
    account = test_fake_connect.connected(shop)
    shop.fake.test("accounts", account, "onboard")
    test_fake_connect.transfer(shop, account)
    options: stripe.RequestOptions = {"stripe_account": account}
    money: Any = {"amount": 100, "currency": "usd"}
    first = shop.v1.payouts.create(params=money, options=options)
    shop.v1.payouts.cancel(first.id, options=options)
    second = shop.v1.payouts.create(params=money, options=options)
    shop.fake.test("payouts", second.id, "arrive")
    shop.v1.payouts.create(params=money, options=options)


@pytest.mark.slow
def test_every_object_and_event_has_the_sdks_shape(shop: Shop) -> None:
    live_a_life(shop)
    seen = defaultdict(set)
    for realm in shop.fake.program.world.realms.values():
        for kind, things in realm.things.items():
            for thing in things.values():
                seen[kind].add(thing.get("status"))
                assert faults_of(public(thing)) == []
                if kind == "event":
                    told = thing["data"]["object"]
                    seen[told["object"]].add(told.get("status"))
                    assert faults_of(told) == [], thing["type"]
    for kind, states in STATES.items():
        assert states <= seen[kind], kind
    assert len(seen) > 25


def test_what_is_expanded_has_the_sdks_shape_too(shop: Shop) -> None:
    session = shop.paid(customer_creation="always", invoice_creation={"enabled": True})
    expand = ["line_items", "payment_intent.latest_charge.balance_transaction", "customer"]
    expand += ["invoice.payments", "payment_intent.payment_method"]
    whole = shop.v1.checkout.sessions.retrieve(session["id"], params={"expand": expand})
    assert faults_of(whole.last_response.data) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"status": "opened"}, "is none of"),
        ({"amount_total": "12"}, "is not <class 'int'>"),
        ({"bogus": 1}, "no such attribute"),
        ({"automatic_tax": {}}, "automatic_tax.enabled: missing"),
        ({"total_details": {"amount_discount": None, "amount_tax": 0}}, "is not <class 'int'>"),
        ({"customer": 7}, "customer"),
    ],
)
def test_the_check_sees_a_wrong_shape(shop: Shop, change: dict[str, Any], said: str) -> None:
    session = shop.session()
    shape = public(shop.fake.program.world.realm_of(session.id)[1])
    assert faults_of(shape) == []
    wrong = copy.deepcopy(shape) | change
    assert any(said in fault for fault in faults_of(wrong))
    del shape["currency"], shape["id"]
    assert faults_of(shape) == ["checkout.session.id: missing"]
