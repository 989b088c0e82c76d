"""Subscriptions and invoices of the stand-in."""

from typing import Any

import pytest
import stripe

from tests.stripe.conftest import Shop


def test_a_subscription_is_paid_once_a_cycle(shop: Shop) -> None:
    session, plan = shop.subscribed(metadata={"user": "bob"})
    assert (session["payment_status"], plan.status) == ("paid", "active")
    item = plan["items"].data[0]
    shop.later(seconds=item.current_period_end - item.current_period_start + 1)
    shop.later(days=1)
    assert shop.reasons(plan.id) == [
        ("subscription_create", 2000, "paid"),
        ("subscription_cycle", 2000, "paid"),
    ]
    first, second = shop.v1.invoices.list(params={"subscription": plan.id}).data[::-1]
    assert first.lines.data[0].period.end == second.lines.data[0].period.start
    assert second.parent is not None
    assert second.parent.subscription_details is not None
    assert second.parent.subscription_details.subscription == plan.id


def test_a_year_ahead_brings_twelve_renewals(shop: Shop) -> None:
    _, plan = shop.subscribed()
    shop.later(days=366)
    assert len(shop.reasons(plan.id)) == 13


def test_a_failing_card_falls_behind_and_recovers_or_ends(shop: Shop) -> None:
    session, plan = shop.subscribed()
    shop.fake.test("customers", session["customer"], "card", card="chargeCustomerFail")
    shop.later(days=32)
    assert shop.v1.subscriptions.retrieve(plan.id).status == "past_due"
    assert shop.reasons(plan.id)[-1] == ("subscription_cycle", 2000, "open")
    shop.fake.test("customers", session["customer"], "card", card="visa")
    shop.later(days=4)
    assert shop.v1.subscriptions.retrieve(plan.id).status == "active"
    shop.fake.test("customers", session["customer"], "card", card="chargeCustomerFail")
    shop.later(days=31 + 16)
    ended = shop.v1.subscriptions.retrieve(plan.id)
    assert ended.status == "canceled"
    assert ended.cancellation_details is not None
    assert ended.cancellation_details.reason == "payment_failed"


def switched(shop: Shop, plan: stripe.Subscription, amount: int, every: str, how: str) -> None:
    data: Any = {"currency": "usd", "unit_amount": amount, "recurring": {"interval": every}}
    price = shop.v1.prices.create(params={**data, "product_data": {"name": "Bigger"}})
    item = plan["items"].data[0].id
    params: Any = {"items": [{"id": item, "price": price.id}], "proration_behavior": how}
    shop.v1.subscriptions.update(plan.id, params=params)


@pytest.mark.parametrize(
    ("how", "middle", "cycle"),
    [
        ("always_invoice", [("subscription_update", 1500, "paid")], 5000),
        ("create_prorations", [], 6500),
        ("none", [], 5000),
    ],
)
def test_an_upgrade_is_prorated_as_asked(
    shop: Shop, how: str, middle: list[tuple[str, int, str]], cycle: int
) -> None:
    _, plan = shop.subscribed()
    item = plan["items"].data[0]
    shop.later(seconds=(item.current_period_end - item.current_period_start) // 2)
    switched(shop, plan, 5000, "month", how)
    shop.later(days=20)
    assert shop.reasons(plan.id) == [
        ("subscription_create", 2000, "paid"),
        *middle,
        ("subscription_cycle", cycle, "paid"),
    ]


def test_another_rhythm_starts_a_new_period_at_once(shop: Shop) -> None:
    _, plan = shop.subscribed()
    switched(shop, plan, 20_000, "year", "create_prorations")
    assert shop.reasons(plan.id)[-1] == ("subscription_update", 18_000, "paid")
    shop.later(days=300)
    assert len(shop.reasons(plan.id)) == 2


def test_a_canceled_plan_runs_to_its_periods_end(shop: Shop) -> None:
    _, plan = shop.subscribed()
    shop.v1.subscriptions.update(plan.id, params={"cancel_at_period_end": True})
    shop.later(days=20)
    assert shop.v1.subscriptions.retrieve(plan.id).status == "active"
    shop.later(days=12)
    assert shop.v1.subscriptions.retrieve(plan.id).status == "canceled"
    assert len(shop.reasons(plan.id)) == 1
    assert shop.types(plan.id)[-1] == "customer.subscription.deleted"


def test_a_trial_costs_nothing_and_then_renews(shop: Shop) -> None:
    session, plan = shop.subscribed(subscription_data={"trial_period_days": 7})
    assert (session["payment_status"], plan.status) == ("no_payment_required", "trialing")
    shop.later(days=8)
    assert shop.reasons(plan.id) == [
        ("subscription_create", 0, "paid"),
        ("subscription_cycle", 2000, "paid"),
    ]
    assert "customer.subscription.trial_will_end" in shop.types(plan.id)


def test_a_coupon_for_once_is_off_the_first_invoice_alone(shop: Shop) -> None:
    coupon = shop.v1.coupons.create(params={"percent_off": 25})
    _, plan = shop.subscribed(discounts=[{"coupon": coupon.id}])
    shop.later(days=32)
    assert [amount for _, amount, _ in shop.reasons(plan.id)] == [1500, 2000]


def test_an_invoice_can_be_paid_elsewhere(shop: Shop) -> None:
    session, plan = shop.subscribed()
    shop.fake.test("customers", session["customer"], "card", card="chargeCustomerFail")
    shop.later(days=32)
    invoice = shop.v1.invoices.list(params={"status": "open"}).data[0]
    paid = shop.v1.invoices.pay(invoice.id, params={"paid_out_of_band": True})
    assert (paid.status, paid.amount_paid_off_stripe) == ("paid", 2000)
    assert shop.v1.subscriptions.retrieve(plan.id).status == "active"
    assert not shop.v1.invoice_payments.list(params={"invoice": invoice.id}).data


def test_a_customer_without_a_good_card_stays_incomplete(shop: Shop) -> None:
    customer = shop.v1.customers.create(
        params={
            "payment_method": "pm_card_chargeCustomerFail",
            "invoice_settings": {"default_payment_method": "pm_card_chargeCustomerFail"},
        }
    )
    price = shop.v1.prices.create(
        params={
            "currency": "usd",
            "unit_amount": 900,
            "recurring": {"interval": "month"},
            "product_data": {"name": "Plan"},
        }
    )
    plan = shop.v1.subscriptions.create(
        params={"customer": customer.id, "items": [{"price": price.id}]}
    )
    assert plan.status == "incomplete"
    shop.later(days=1)
    assert shop.v1.subscriptions.retrieve(plan.id).status == "incomplete_expired"


def test_prices_are_listed_with_the_metadata_of_packs(shop: Shop) -> None:
    product = shop.v1.products.create(params={"name": "Packs"})
    for included in ("500", "2000"):
        shop.v1.prices.create(
            params={
                "currency": "eur",
                "unit_amount": 500,
                "product": product.id,
                "metadata": {"includedCredits": included},
            }
        )
    found = shop.v1.prices.list(params={"product": product.id, "expand": ["data.product"]})
    assert [price.metadata["includedCredits"] for price in found.data] == ["2000", "500"]
    assert all(isinstance(price.product, stripe.Product) for price in found.data)
