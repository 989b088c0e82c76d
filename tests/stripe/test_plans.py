"""Plans: what invoices bring, and what they do not."""

import datetime as dt
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection

from billing.stripe import checkout, drips, fulfil, orders, plans, reconcile
from billing.stripe.catalog import Plan
from billing.stripe.models import Order, PlanSubscription
from config.kit import ids
from ledger.models import Lot
from tests.fakes.stripe.keys import seeded
from tests.stripe.test_order_news import listened, told
from tests.stripe.till import UNIT, Till

__all__ = ["listened"]

CYCLE_S = 31 * 86_400 + 7_200


def plan_of(till: Till, price: int = 2000, units: int = 20, **given: Any) -> Plan:
    said = {"name": "Pro", "currency": "USD", "interval": "month", **given}
    return Plan.objects.create(
        paywall=till.paywall, price_minor=price, credit_nanos=units * UNIT, **said
    )


def synced(till: Till, price: int, units: int, **given: Any) -> Plan:
    """A plan whose price is the developer's own at Stripe."""
    made = owner(till).prices.create(
        {
            "currency": "usd",
            "unit_amount": price,
            "recurring": {"interval": "month"},
            "product_data": {"name": "Pro"},
        }
    )
    return plan_of(till, price, units, stripe_price_id=made.id, **given)


def owner(till: Till) -> Any:
    """The developer, at their own Stripe."""
    return till.fake.client(seeded("sk", "live")).v1


def subscribed(till: Till, plan: Plan | None = None) -> PlanSubscription:
    """Bought and paid; every event heard."""
    order = checkout.click(till.user, orders.plan(plan or plan_of(till)))
    till.pay(order)
    till.hear(order)
    return PlanSubscription.objects.select_related("plan").get(user=till.user)


def later(till: Till, seconds: int = CYCLE_S) -> None:
    till.fake.test("clock", "advance", seconds=seconds)


def invoices(till: Till, kept: PlanSubscription) -> list[Any]:
    """The newest first."""
    return list(owner(till).invoices.list({"subscription": kept.subscription_id}).data)


def news(till: Till, kept: PlanSubscription) -> None:
    """Everything about the subscription and its invoices, heard."""
    for about in (kept.subscription_id, *(each.id for each in invoices(till, kept)[::-1])):
        till.hear(about)


def cycles(till: Till) -> list[Order]:
    found = Order.objects.filter(user=till.user, kind="plan", session_id=None)
    return list(found.order_by("id"))


def lots(till: Till) -> list[Lot]:
    return list(Lot.objects.filter(account_id=str(till.user.wallet_id)).order_by("id"))


class TestCycles:
    def test_the_first_payment_brings_the_first_cycle_which_ends_with_it(self, till: Till):
        kept = subscribed(till)
        assert (kept.status, till.posted) == ("active", 20 * UNIT)
        (row,) = cycles(till)
        assert (row.paid_minor, row.status) == (2000, "paid")
        assert row.payment_intent_id.startswith("pi_")
        (lot,) = lots(till)
        assert kept.current_period_end is not None
        assert lot.expires_at == kept.current_period_end + drips.GRACE

    @pytest.mark.proves("F60")
    def test_a_renewal_brings_the_next_one_once(self, till: Till):
        kept = subscribed(till)
        later(till)
        for _ in range(3):
            news(till, kept)
            reconcile.reconcile(till.account)
        assert till.posted == 40 * UNIT
        assert [row.price_minor for row in cycles(till)] == [2000, 2000]

    @pytest.mark.proves("F60", "T11")
    def test_copies_of_the_news_at_once_with_the_reconciler_and_the_return_page(self, till: Till):
        kept = subscribed(till)
        later(till)
        invoice = invoices(till, kept)[0].id

        def apart(work: Any) -> None:
            try:
                work()
            finally:
                connection.close()

        work: list[Callable[[], object]] = [lambda: plans.take_invoice(till.account, invoice)] * 5
        work.append(lambda: reconcile.reconcile(till.account))
        with ThreadPoolExecutor(len(work)) as pool:
            for done in [pool.submit(apart, each) for each in work]:
                done.result()
        assert till.posted == 40 * UNIT
        assert len(cycles(till)) == 2

    @pytest.mark.proves("F55")
    def test_no_webhook_at_all(self, till: Till):
        order = checkout.click(till.user, orders.plan(plan_of(till)))
        till.pay(order)
        reconcile.reconcile(till.account)
        assert till.posted == 20 * UNIT
        later(till)
        reconcile.reconcile(till.account)
        assert till.posted == 40 * UNIT

    def test_the_return_page_needs_no_news_either(self, till: Till, client):
        order = checkout.click(till.user, orders.plan(plan_of(till)))
        till.pay(order)
        client.get(f"{till.page}/order/{order.public_id}")
        assert (till.again(order).status, till.posted) == ("paid", 20 * UNIT)

    def test_left_overs_stay_where_the_plan_says_so(self, till: Till):
        subscribed(till, plan_of(till, resets=False))
        assert till.posted == 20 * UNIT
        assert not [lot for lot in lots(till) if lot.expires_at]

    def test_what_is_paid_after_its_cycle_lasts_as_long_as_one(self):
        start, end, now = (dt.datetime(2026, month, 1, tzinfo=dt.UTC) for month in (1, 2, 3))
        assert drips.lapses_at(start, end, start) == end + drips.GRACE
        assert drips.lapses_at(start, end, now) == now + (end - start) + drips.GRACE


@pytest.mark.proves("F60")
class TestOtherInvoices:
    def test_a_change_in_the_middle_brings_the_new_plans_credit_with_the_next_cycle(
        self, till: Till
    ):
        small, big = synced(till, 2000, 20), synced(till, 5000, 60)
        kept = subscribed(till, small)
        item = owner(till).subscriptions.retrieve(kept.subscription_id)["items"].data[0]
        owner(till).subscriptions.update(
            kept.subscription_id,
            {
                "items": [{"id": item.id, "price": big.stripe_price_id}],
                "proration_behavior": "always_invoice",
            },
        )
        news(till, kept)
        assert invoices(till, kept)[0].billing_reason == "subscription_update"
        kept.refresh_from_db()
        assert (kept.plan_id, till.posted) == (big.pk, 20 * UNIT)
        later(till)
        news(till, kept)
        assert till.posted == 80 * UNIT

    def test_what_a_change_costs_with_the_next_invoice_is_no_cycle(self, till: Till):
        small, big = synced(till, 2000, 20), synced(till, 5000, 60)
        kept = subscribed(till, big)
        item = owner(till).subscriptions.retrieve(kept.subscription_id)["items"].data[0]
        owner(till).subscriptions.update(
            kept.subscription_id, {"items": [{"id": item.id, "price": small.stripe_price_id}]}
        )
        later(till)
        news(till, kept)
        assert till.posted == 80 * UNIT

    def test_a_price_that_is_no_plan_brings_nothing_and_is_shown(self, till: Till):
        kept = subscribed(till, synced(till, 2000, 20))
        Plan.objects.filter(pk=kept.plan_id).update(stripe_price_id="price_other")
        later(till)
        outcome = plans.take_invoice(till.account, invoices(till, kept)[0].id)
        assert (outcome.state, till.posted) == ("quarantined", 20 * UNIT)

    def test_nor_does_the_first_order_which_says_why(self, till: Till):
        plan = synced(till, 2000, 20)
        order = checkout.click(till.user, orders.plan(plan))
        till.pay(order)
        Plan.objects.filter(pk=plan.pk).update(stripe_price_id="price_other")
        found = fulfil.fulfil(order)
        assert (found.status, till.posted) == ("quarantined", 0)
        assert "is not the price of a plan" in found.reason
        Plan.objects.filter(pk=plan.pk).update(stripe_price_id=plan.stripe_price_id)
        assert fulfil.fulfil(found).status == "paid"
        assert till.posted == 20 * UNIT

    def test_a_trial_that_costs_nothing_brings_nothing(self, till: Till):
        kept = subscribed(till)
        later(till)
        invoice = invoices(till, kept)[0]
        lines = till.fake.test("objects", invoice.id, method="GET")["lines"]
        lines["data"][0]["amount"] = 0
        till.fake.test("objects", invoice.id, lines=lines, amount_paid=0)
        assert plans.take_invoice(till.account, invoice.id).reason == "no credit: a trial"
        assert till.posted == 20 * UNIT

    def test_paid_outside_of_stripe_counts(self, till: Till):
        kept = failing(till)
        owner(till).invoices.pay(invoices(till, kept)[0].id, {"paid_out_of_band": True})
        news(till, kept)
        assert till.posted == 40 * UNIT
        assert cycles(till)[-1].payment_intent_id == ""

    @pytest.mark.parametrize("reason", ["manual", "subscription_threshold", "subscription_update"])
    def test_other_reasons_bring_nothing(self, till: Till, reason):
        kept = subscribed(till)
        later(till)
        invoice = invoices(till, kept)[0].id
        till.fake.test("objects", invoice, billing_reason=reason)
        assert plans.take_invoice(till.account, invoice).reason == f"no credit: {reason}"
        assert till.posted == 20 * UNIT

    def test_a_subscription_of_the_developers_own_is_none_of_ours(self, till: Till):
        v1 = owner(till)
        customer = v1.customers.create(
            {
                "payment_method": "pm_card_visa",
                "invoice_settings": {"default_payment_method": "pm_card_visa"},
            }
        )
        price = synced(till, 900, 9).stripe_price_id
        made = v1.subscriptions.create({"customer": customer.id, "items": [{"price": price}]})
        assert plans.follow(till.account, made.id).state == "ignored"
        assert plans.take_invoice(till.account, made.latest_invoice).state == "ignored"
        reconcile.reconcile(till.account)
        assert till.posted == 0


def failing(till: Till) -> PlanSubscription:
    """A plan whose second cycle could not be paid; heard."""
    kept = subscribed(till)
    customer = owner(till).subscriptions.retrieve(kept.subscription_id).customer
    till.fake.test("customers", customer, "card", card="chargeCustomerFail")
    later(till)
    news(till, kept)
    kept.refresh_from_db()
    return kept


class TestLife:
    def test_a_failed_payment_and_its_recovery(self, listened: Till):
        till = listened
        kept = failing(till)
        assert (kept.status, till.posted) == ("past_due", 20 * UNIT)
        customer = owner(till).subscriptions.retrieve(kept.subscription_id).customer
        till.fake.test("customers", customer, "card", card="visa")
        later(till, 4 * 86_400)
        news(till, kept)
        news(till, kept)
        kept.refresh_from_db()
        assert (kept.status, till.posted) == ("active", 40 * UNIT)
        named = {"planId": ids.encode("plan", kept.plan_id)}
        named["subscriptionId"] = kept.subscription_id
        found = [each for each in told(till) if each["type"].startswith("paywall.subscription")]
        assert [each["type"].rpartition(".")[2] for each in found] == ["past_due", "renewed"]
        assert all(named.items() <= each["data"].items() for each in found)
        renewal = cycles(till)[-1].transaction_id
        assert renewal
        assert found[1]["data"]["activityId"] == ids.encode("txn", renewal)

    def test_an_end_is_told_and_leaves_the_credit_until_its_day(self, listened: Till):
        till = listened
        kept = subscribed(till)
        owner(till).subscriptions.update(kept.subscription_id, {"cancel_at_period_end": True})
        news(till, kept)
        kept.refresh_from_db()
        assert (kept.status, kept.cancel_at_period_end) == ("active", True)
        later(till)
        news(till, kept)
        kept.refresh_from_db()
        assert (kept.status, till.posted) == ("canceled", 20 * UNIT)
        types = [row["type"] for row in told(till)]
        assert types.count("paywall.subscription.canceled") == 1

    def test_nobody_buys_a_second_plan_by_mistake(self, till: Till):
        kept = subscribed(till)
        with pytest.raises(orders.OrderNotPossibleError, match="has a plan"):
            orders.start(till.user, orders.plan(kept.plan))
        PlanSubscription.objects.filter(pk=kept.pk).update(status="canceled")
        assert orders.start(till.user, orders.plan(kept.plan)).status == "open"

    def test_a_refund_of_a_cycle_takes_its_credit(self, till: Till):
        subscribed(till)
        (row,) = cycles(till)
        refund = owner(till).refunds.create(
            {"payment_intent": row.payment_intent_id, "amount": 500}
        )
        till.hear(refund.id)
        assert till.total == 15 * UNIT

    def test_a_refund_that_is_heard_of_first_waits_for_the_cycle(self, till: Till):
        kept = subscribed(till)
        later(till)
        invoice = (
            owner(till)
            .invoices.list({"subscription": kept.subscription_id, "expand": ["data.payments"]})
            .data[0]
        )
        intent = plans.payment_of(invoice.to_dict())
        refund = owner(till).refunds.create({"payment_intent": intent, "amount": 1000})
        till.hear(refund.id)
        assert till.total == 20 * UNIT
        plans.take_invoice(till.account, invoice.id)
        assert till.total == 30 * UNIT
