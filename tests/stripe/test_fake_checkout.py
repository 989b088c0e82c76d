"""Sessions of the stand-in behave as Stripe's do."""

from typing import Any

import pytest
import stripe

from tests.stripe.conftest import URLS, Shop


def test_a_paid_session_is_complete_and_has_its_money(shop: Shop) -> None:
    session = shop.session(1250, metadata={"order": "7"}, client_reference_id="me")
    assert (session.status, session.payment_status) == ("open", "unpaid")
    assert session.url is not None
    assert session.url.startswith(f"{shop.fake.url}/c/pay/cs_test_")
    shop.finish(session)
    paid = shop.v1.checkout.sessions.retrieve(
        session.id, params={"expand": ["payment_intent.latest_charge", "line_items"]}
    )
    assert (paid.status, paid.payment_status, paid.url) == ("complete", "paid", None)
    assert (paid.amount_total, paid.currency, paid.client_reference_id) == (1250, "usd", "me")
    assert paid.metadata is not None
    assert paid.metadata["order"] == "7"
    assert isinstance(paid.payment_intent, stripe.PaymentIntent)
    assert isinstance(paid.payment_intent.latest_charge, stripe.Charge)
    assert paid.payment_intent.latest_charge.amount_captured == 1250
    assert paid.line_items is not None
    assert [item.amount_total for item in paid.line_items.data] == [1250]
    assert shop.types(session.id)[-3:] == [
        "charge.succeeded",
        "payment_intent.succeeded",
        "checkout.session.completed",
    ]


def test_a_declined_card_leaves_the_session_open_for_another(shop: Shop) -> None:
    session = shop.session()
    assert shop.finish(session, "decline")["status"] == "open"
    assert "payment_intent.payment_failed" in shop.types(session.id)
    assert shop.finish(session)["payment_status"] == "paid"
    assert len(shop.v1.payment_intents.list().data) == 1


@pytest.mark.parametrize("outcome", ["pay", "expire"])
def test_a_session_ends_once(shop: Shop, outcome: str) -> None:
    session = shop.session()
    shop.finish(session, outcome)
    with pytest.raises(AssertionError, match="cannot be paid"):
        shop.finish(session)
    with pytest.raises(stripe.InvalidRequestError, match="can be expired"):
        shop.v1.checkout.sessions.expire(session.id)


def test_a_bank_debit_arrives_or_bounces_after_the_session_completed(shop: Shop) -> None:
    good, bad = shop.session(), shop.session()
    assert shop.finish(good, "pay_async")["payment_status"] == "unpaid"
    assert shop.finish(bad, "pay_async")["status"] == "complete"
    assert shop.finish(bad, "async_fail")["payment_status"] == "unpaid"
    shop.later(days=3)
    assert shop.v1.checkout.sessions.retrieve(good.id).payment_status == "paid"
    assert shop.types(good.id)[-1] == "checkout.session.async_payment_succeeded"
    assert shop.types(bad.id)[-1] == "checkout.session.async_payment_failed"


def test_a_code_for_everything_leaves_nothing_to_pay(shop: Shop) -> None:
    coupon = shop.v1.coupons.create(params={"percent_off": 100})
    shop.v1.promotion_codes.create(
        params={"promotion": {"type": "coupon", "coupon": coupon.id}, "code": "FREE"}
    )
    session = shop.finish(shop.session(allow_promotion_codes=True), promotion_code="free")
    assert session["payment_status"] == "no_payment_required"
    assert (session["amount_total"], session["payment_intent"]) == (0, None)
    assert shop.v1.coupons.retrieve(coupon.id).times_redeemed == 1


def test_a_code_past_its_cap_or_time_is_refused(shop: Shop) -> None:
    coupon = shop.v1.coupons.create(params={"amount_off": 100, "currency": "usd"})
    code = shop.v1.promotion_codes.create(
        params={
            "promotion": {"type": "coupon", "coupon": coupon.id},
            "code": "ONCE",
            "max_redemptions": 1,
        }
    )
    discounts = [{"promotion_code": code.id}]
    assert shop.paid(discounts=discounts)["amount_total"] == 900
    with pytest.raises(stripe.InvalidRequestError, match="promotion code is invalid"):
        shop.session(discounts=discounts)


def test_tax_and_zero_decimal_currencies_are_whole_minor_units(shop: Shop) -> None:
    data = {"currency": "jpy", "unit_amount": 1005, "product_data": {"name": "Credits"}}
    items = [{"price_data": data, "quantity": 2}]
    session = shop.session(line_items=items, automatic_tax={"enabled": True})
    assert session.total_details is not None
    assert (session.amount_subtotal, session.total_details.amount_tax) == (2010, 402)
    assert session.amount_total == 2412


def test_sessions_expire_by_the_clock(shop: Shop) -> None:
    session = shop.session()
    shop.later(hours=23)
    assert shop.v1.checkout.sessions.retrieve(session.id).status == "open"
    shop.later(hours=1)
    assert shop.v1.checkout.sessions.retrieve(session.id).status == "expired"
    assert shop.types(session.id) == ["checkout.session.expired"]


def test_an_invoice_is_made_when_asked_for(shop: Shop) -> None:
    session = shop.paid(invoice_creation={"enabled": True}, customer_creation="always")
    invoice = shop.v1.invoices.retrieve(session["invoice"], params={"expand": ["payments"]})
    assert (invoice.status, invoice.billing_reason, invoice.amount_paid) == ("paid", "manual", 1000)
    assert invoice.payments is not None
    (payment,) = invoice.payments.data
    assert payment.payment.payment_intent == session["payment_intent"]


@pytest.mark.parametrize("behaviour", ["exclusive", "inclusive"])
@pytest.mark.parametrize("mode", ["payment", "subscription"])
def test_an_invoice_and_its_session_agree_on_discount_and_tax(
    shop: Shop, mode: str, behaviour: str
) -> None:
    coupon = shop.v1.coupons.create(params={"percent_off": 25})
    data = {"currency": "usd", "unit_amount": 1000, "tax_behavior": behaviour}
    data["product_data"] = {"name": "Credits"}
    given: dict[str, Any] = {
        "discounts": [{"coupon": coupon.id}],
        "automatic_tax": {"enabled": True},
    }
    if mode == "payment":
        given["invoice_creation"] = {"enabled": True}
    else:
        data["recurring"] = {"interval": "month"}
    items = [{"price_data": data, "quantity": 2}]
    session = shop.paid(mode=mode, line_items=items, **given)
    invoice = shop.v1.invoices.retrieve(session["invoice"])
    total = 1800 if behaviour == "exclusive" else 1500
    assert session["amount_total"] == invoice.total == invoice.amount_paid == total
    assert session["total_details"]["amount_discount"] == 500


def test_a_card_is_kept_for_later_when_asked_for(shop: Shop) -> None:
    data = {"setup_future_usage": "off_session"}
    session = shop.paid(payment_intent_data=data)
    kept = shop.v1.customers.payment_methods.list(session["customer"]).data
    assert [method.customer for method in kept] == [session["customer"]]
    session = shop.paid(mode="setup", customer_creation="always")
    assert session["setup_intent"]
    assert len(shop.v1.customers.payment_methods.list(session["customer"]).data) == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"amount": 49}, "at least 50"),
        ({"expires_at": 1}, "at least 30 minutes"),
        ({"success_url": "shop"}, "Not a valid URL"),
        ({"customer": "cus_nobody"}, "No such customer"),
        ({"every": "month"}, "recurring price"),
        ({"mode": "subscription"}, "at least one recurring price"),
        ({"subscription_data": {"metadata": {"a": "b"}}}, "can not pass `subscription_data`"),
        ({"metadata": {"a": "b" * 501}}, "up to 500 characters"),
        ({"surprise": "1"}, "Received unknown parameter: surprise"),
        ({"line_items": []}, "Missing required param"),
        ({"ui_mode": "elements"}, "hosted pages alone"),
        ({"locale": "tlh"}, "Invalid locale"),
        ({"line_items": [{"price": "price_none", "quantity": 1}]}, "No such price"),
    ],
)
def test_what_stripe_refuses_is_refused(shop: Shop, given: dict[str, object], said: str) -> None:
    with pytest.raises(stripe.InvalidRequestError, match=said):
        shop.session(**given)  # type: ignore[arg-type]


def test_urls_are_given_back_as_they_came(shop: Shop) -> None:
    session = shop.session()
    assert session.success_url == URLS["success_url"]
    assert session.cancel_url == URLS["cancel_url"]
