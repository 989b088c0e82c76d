"""The pages that payers see."""

import re

import httpx
import pytest

from tests.stripe.conftest import Shop


def press(url: str, **fields: str) -> httpx.Response:
    return httpx.post(url, data=fields, trust_env=False)


def test_the_page_pays_and_leads_back(shop: Shop) -> None:
    session = shop.session(123_456)
    assert session.url is not None
    page = httpx.get(session.url, trust_env=False).text
    assert "1,234.56 USD" in page
    assert "This is not Stripe" in page
    assert re.findall(r'value="(pay|decline|cancel)"', page) == ["pay", "decline", "cancel"]
    answer = press(session.url, action="pay", email="me@b.test")
    assert answer.status_code == 303
    assert answer.headers["location"] == f"https://shop.test/ok?session={session.id}"
    paid = shop.v1.checkout.sessions.retrieve(session.id)
    assert paid.customer_details is not None
    assert (paid.payment_status, paid.customer_details.email) == ("paid", "me@b.test")
    assert "This is paid." in httpx.get(session.url, trust_env=False).text
    assert "cannot be paid" not in page


def test_a_declined_card_is_told_on_the_page(shop: Shop) -> None:
    session = shop.session()
    assert session.url is not None
    answer = press(session.url, action="decline")
    assert answer.status_code == 200
    assert 'role="alert"' in answer.text
    assert "was declined" in answer.text
    assert press(session.url, action="pay").status_code == 303


def test_cancel_leads_back_without_paying(shop: Shop) -> None:
    session = shop.session()
    assert session.url is not None
    assert press(session.url, action="cancel").headers["location"] == "https://shop.test/no"
    assert shop.v1.checkout.sessions.retrieve(session.id).status == "open"


def test_an_expired_page_says_so(shop: Shop) -> None:
    session = shop.session()
    assert session.url is not None
    shop.later(days=1)
    assert "has expired" in httpx.get(session.url, trust_env=False).text


def test_what_sellers_write_cannot_break_the_page(shop: Shop) -> None:
    data = {"currency": "usd", "unit_amount": 500, "product_data": {"name": "<script>x</script>"}}
    session = shop.session(line_items=[{"price_data": data, "quantity": 1}])
    assert session.url is not None
    page = httpx.get(session.url, trust_env=False).text
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_a_wrong_code_is_told_and_a_right_one_counts(shop: Shop) -> None:
    coupon = shop.v1.coupons.create(params={"percent_off": 50})
    shop.v1.promotion_codes.create(
        params={"promotion": {"type": "coupon", "coupon": coupon.id}, "code": "HALF"}
    )
    session = shop.session(allow_promotion_codes=True)
    assert session.url is not None
    assert "code is invalid" in press(session.url, action="pay", promotion_code="NO").text
    press(session.url, action="pay", promotion_code="half")
    assert shop.v1.checkout.sessions.retrieve(session.id).amount_total == 500


def test_the_portal_ends_and_keeps_plans(shop: Shop) -> None:
    session, plan = shop.subscribed()
    portal = shop.v1.billing_portal.sessions.create(
        params={"customer": session["customer"], "return_url": "https://shop.test/back"}
    )
    page = httpx.get(portal.url, trust_env=False).text
    assert "Credits, 20.00 USD a month" in page
    assert "It is active." in page
    assert 'href="https://shop.test/back"' in page
    press(portal.url, action="cancel", subscription=plan.id)
    assert shop.v1.subscriptions.retrieve(plan.id).cancel_at_period_end
    press(portal.url, action="resume", subscription=plan.id)
    assert not shop.v1.subscriptions.retrieve(plan.id).cancel_at_period_end


def test_the_portal_changes_plans_where_it_is_configured_to(shop: Shop) -> None:
    data = {"currency": "usd", "unit_amount": 5000, "recurring": {"interval": "month"}}
    price = shop.v1.prices.create(params={**data, "product_data": {"name": "Bigger"}})
    products = [{"product": price.product, "prices": [price.id]}]
    update = {
        "enabled": True,
        "default_allowed_updates": ["price"],
        "products": products,
        "proration_behavior": "always_invoice",
    }
    configuration = shop.v1.billing_portal.configurations.create(
        params={"features": {"subscription_update": update}}
    )
    session, plan = shop.subscribed()
    portal = shop.v1.billing_portal.sessions.create(
        params={"customer": session["customer"], "configuration": configuration.id}
    )
    assert "Change to Bigger, 50.00 USD a month" in httpx.get(portal.url, trust_env=False).text
    press(portal.url, action=price.id, subscription=plan.id)
    assert shop.reasons(plan.id)[-1] == ("subscription_update", 3000, "paid")


def test_a_better_card_pays_what_is_open(shop: Shop) -> None:
    session, plan = shop.subscribed()
    shop.fake.test("customers", session["customer"], "card", card="chargeCustomerFail")
    shop.later(days=32)
    invoice = shop.v1.invoices.list(params={"status": "open"}).data[0]
    assert invoice.hosted_invoice_url is not None
    assert "20.00 USD" in httpx.get(invoice.hosted_invoice_url, trust_env=False).text
    press(invoice.hosted_invoice_url, action="pay")
    assert shop.v1.invoices.retrieve(invoice.id).status == "paid"
    assert shop.v1.subscriptions.retrieve(plan.id).status == "active"


def test_a_receipt_shows_what_was_paid_and_given_back(shop: Shop) -> None:
    session = shop.paid()
    shop.fake.test("refunds", session=session["id"], amount=250)
    url = shop.charge(session).receipt_url
    assert url is not None
    page = httpx.get(url, trust_env=False).text
    assert "10.00 USD" in page
    assert "2.50 USD" in page


@pytest.mark.parametrize("path", ["/c/pay/cs_test_none", "/p/session/bps_none", "/nowhere"])
def test_a_page_of_nothing_is_a_404(shop: Shop, path: str) -> None:
    assert httpx.get(shop.fake.url + path, trust_env=False).status_code == 404
