"""Packs and plans: made here, and synced from the developer's prices."""

from typing import Any

import pytest
from django.db import transaction

from billing.stripe import checkout, fulfil, orders, products
from billing.stripe.catalog import Pack, Plan
from config.kit import ids
from config.kit.errors import InvalidRequestError
from paywalls import rules
from paywalls.models import Change
from tests.factories import ACTOR
from tests.fakes.stripe.keys import seeded
from tests.stripe.till import UNIT, Till
from tests.support.commands import run


def priced(till: Till, **given: Any) -> str:
    """A price of the developer's own."""
    said = {
        "currency": "usd",
        "unit_amount": 1000,
        "product_data": {"name": "Credits"},
        "metadata": {"includedCredits": "12"},
    }
    made = till.fake.client(seeded("sk", "live")).v1.prices.create({**said, **given})  # type: ignore[typeddict-item]
    return made.id


def synced(till: Till) -> products.Synced:
    found = products.fetch(till.paywall)
    with transaction.atomic():
        return products.sync(till.paywall, found, actor=ACTOR)


class TestSync:
    def test_one_off_prices_are_packs_and_recurring_ones_plans(self, till: Till):
        once = priced(till)
        metadata = {"includedCredits": "30", "rollover": "true", "entitlements": "a, b"}
        often = priced(till, recurring={"interval": "month"}, metadata=metadata, nickname="Monthly")
        priced(till, metadata={})
        assert synced(till) == products.Synced(sold=2)
        pack = Pack.objects.get(paywall=till.paywall)
        assert (pack.stripe_price_id, pack.name) == (once, "Credits")
        assert (pack.price_minor, pack.credit_nanos) == (1000, 12 * UNIT)
        plan = Plan.objects.get(paywall=till.paywall)
        assert (plan.stripe_price_id, plan.name) == (often, "Monthly")
        assert (plan.interval, plan.resets, plan.entitlements) == ("month", False, ["a", "b"])

    def test_a_yearly_price_may_bring_its_credit_by_months(self, till: Till):
        priced(
            till,
            recurring={"interval": "year"},
            metadata={"includedCredits": "20", "drip": "monthly"},
        )
        assert synced(till) == products.Synced(sold=1)
        plan = Plan.objects.get(paywall=till.paywall)
        assert (plan.drips, plan.credit_nanos, plan.rhythm) == (True, 20 * UNIT, "every year")
        assert plan.credit_rhythm == "every month"

    def test_credits_count_at_the_paywalls_rate(self, till: Till):
        with transaction.atomic():
            rules.set_credits(till.paywall, name="gems", per_unit=100, actor=ACTOR)
        priced(till, metadata={"includedCredits": "1250"})
        synced(till)
        assert Pack.objects.get(paywall=till.paywall).credit_nanos == 12_500_000_000

    def test_again_follows_what_changed_and_closes_what_is_gone(self, till: Till):
        price = priced(till)
        synced(till)
        v1: Any = till.fake.client(seeded("sk", "live")).v1
        v1.prices.update(price, {"metadata": {"includedCredits": "15"}})
        assert synced(till).sold == 1
        assert Pack.objects.get(paywall=till.paywall).credit_nanos == 15 * UNIT
        v1.prices.update(price, {"active": False})
        assert synced(till) == products.Synced(closed=1)
        assert not Pack.objects.get(paywall=till.paywall).is_active
        v1.prices.update(price, {"active": True})
        assert synced(till).sold == 1
        assert Pack.objects.get(paywall=till.paywall).is_active

    def test_what_was_made_here_stays(self, till: Till):
        run("add_pack", till.paywall.public_id, "Own", "5", "5")
        synced(till)
        assert Pack.objects.get(paywall=till.paywall).is_active

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({"currency": "eur"}, "in EUR"),
            ({"metadata": {"includedCredits": "many"}}, "not a number"),
            ({"metadata": {"includedCredits": "0"}}, "not a number"),
            ({"metadata": {"includedCredits": "-5"}}, "not a number"),
            ({"metadata": {"includedCredits": "5", "rollover": "perhaps"}}, "neither"),
            ({"metadata": {"includedCredits": "5", "drip": "weekly"}}, "'weekly', not monthly"),
            ({"metadata": {"includedCredits": "5", "drip": "monthly"}}, "for yearly prices"),
            (
                {
                    "metadata": {"includedCredits": "100000000", "drip": "monthly"},
                    "recurring": {"interval": "year", "interval_count": 2},
                },
                "not a number",
            ),
        ],
    )
    def test_what_is_not_clear_is_reported_and_not_sold(self, till: Till, given, said):
        price = priced(till, **given)
        (reason,) = synced(till).skipped
        assert reason.startswith(f"{price}: ")
        assert said in reason
        assert not Pack.objects.filter(paywall=till.paywall).exists()

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({"billing_scheme": "tiered"}, "not one amount"),
            ({"unit_amount": None}, "not one amount"),
            ({"recurring": {"interval": "month", "usage_type": "metered"}}, "metered"),
        ],
    )
    def test_prices_that_are_not_one_amount(self, given, said):
        price = {
            "currency": "usd",
            "billing_scheme": "per_unit",
            "unit_amount": 5,
            "metadata": {},
            "product": "prod_1",
        }
        assert said in products.read_price({**price, **given}, "USD", "5", 1)

    def test_the_command_warns(self, till: Till):
        priced(till)
        text = run("sync_prices", till.paywall.public_id)
        assert "sells 1 of the prices at Stripe; closed 0." in text

    def test_a_synced_pack_is_bought_at_its_own_price(self, till: Till):
        price = priced(till)
        synced(till)
        order = checkout.click(till.user, orders.pack(Pack.objects.get(stripe_price_id=price)))
        till.pay(order)
        assert fulfil.fulfil(order).status == "paid"
        assert till.posted == 12 * UNIT


class TestMade:
    def test_commands_sell_and_stop(self, till: Till):
        name = till.paywall.public_id
        run("add_plan", name, "Reader", "10", "12", "--every", "year", "--entitlement", "audio")
        plan = Plan.objects.get(paywall=till.paywall)
        assert (plan.price_minor, plan.credit_nanos, plan.interval) == (1000, 12 * UNIT, "year")
        assert plan.entitlements == ["audio"]
        assert orders.sold(till.paywall).plans == (plan,)
        run("stop_selling", name, products.public_id(plan))
        assert orders.sold(till.paywall).plans == ()
        actions = Change.objects.filter(paywall=till.paywall, action__startswith="plan.")
        assert list(actions.order_by("id").values_list("action", flat=True)) == [
            "plan.added",
            "plan.closed",
        ]

    def test_a_years_credit_by_months(self, till: Till, client):
        said = run("add_plan", till.paywall.public_id, "Pro", "240", "20", "--every=year", "--drip")
        assert "20.00 USD every month for 240.00 USD every year" in said
        assert Plan.objects.get(paywall=till.paywall).drips
        shown = " ".join(client.get(f"{till.page}?choose=1").content.decode().split())
        assert "240.00 USD every year</span> <small>20.00 USD every month</small>" in shown

    @pytest.mark.parametrize(
        "given",
        [
            {"interval": "decade"},
            {"interval_count": 0},
            {"interval_count": 37},
            {"credit_nanos": 0},
            {"price_nanos": 1},
            {"entitlements": [""]},
            {"drips": True},
            {"drips": True, "interval": "year", "credit_nanos": 10**18 // 12 + 1},
        ],
    )
    def test_plans_that_cannot_be(self, till: Till, given):
        usual = {"price_nanos": UNIT, "credit_nanos": UNIT, "interval": "month"}
        with pytest.raises(InvalidRequestError), transaction.atomic():
            products.add_plan(till.paywall, "Odd", products.Terms(**(usual | given)), actor=ACTOR)
        assert not Plan.objects.filter(paywall=till.paywall).exists()

    def test_there_is_no_such_thing(self, till: Till):
        for name in ("nonsense", ids.encode("pack", ids.uuid7())):
            with pytest.raises(InvalidRequestError), transaction.atomic():
                products.stop_selling(till.paywall, name, actor=ACTOR)
