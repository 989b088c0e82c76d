"""Yearly plans whose credit comes month by month."""

import datetime as dt
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection

from billing import movements
from billing.stripe import checkout, drips, orders, plans, reversals
from billing.stripe.catalog import Plan
from billing.stripe.models import Drip, Order, PlanSubscription
from config.kit.errors import InvalidRequestError
from tests.stripe.calendar import Calendar, calendar_of
from tests.stripe.test_plans import cycles, lots, news, owner, plan_of, subscribed
from tests.stripe.till import UNIT, Till

HOUR = dt.timedelta(hours=1)


@pytest.fixture
def calendar(till: Till) -> Iterator[Calendar]:
    with calendar_of(till) as made:
        yield made


def yearly(till: Till, price: int = 24_000, units: int = 20, **given: Any) -> Plan:
    said = {"interval": "year", "drips": True, "resets": False, **given}
    return plan_of(till, price, units, **said)


def dripped(till: Till) -> Drip:
    return Drip.objects.get(order=cycles(till)[-1])


def month(till: Till, number: int) -> dt.datetime:
    """When the month with this number, from 1, of the newest cycle begins."""
    return drips.month_begins(dripped(till).starts_at, number - 1)


def refs(till: Till) -> list[str]:
    """Which months were booked, in order."""
    return [row.ref.rpartition(":")[2] for row in till.topups()]


def give(till: Till) -> int:
    """How many months the task gives here; others have theirs."""
    before = len(refs(till))
    drips.give_due()
    return len(refs(till)) - before


def refunded(till: Till, amount: int) -> str:
    (row, *_) = cycles(till)
    made = owner(till).refunds.create({"payment_intent": row.payment_intent_id, "amount": amount})
    till.hear(made.id)
    return str(made.id)


def months(first: int, last: int) -> list[str]:
    return [f"month-{number}" for number in range(first, last + 1)]


@pytest.mark.parametrize(
    ("start", "days"),
    [
        ("2027-01-31", ["01-31", "02-28", "03-31", "04-30", "12-31"]),
        ("2028-02-29", ["02-29", "03-29", "04-29", "05-29", "01-29"]),
        ("2027-11-30", ["11-30", "12-30", "01-30", "02-29", "10-30"]),
    ],
)
def test_months_begin_on_their_day_or_the_last(start, days):
    begins = dt.datetime.fromisoformat(f"{start}T10:30:00+00:00")
    found = [drips.month_begins(begins, number) for number in (0, 1, 2, 3, 11)]
    assert [f"{each:%m-%d}" for each in found] == days
    assert all(f"{each:%H:%M}" == "10:30" for each in found)
    assert found == sorted(found)


class TestMonths:
    def test_thirteen_months_and_a_renewal(self, till: Till, calendar: Calendar):
        kept = subscribed(till, yearly(till))
        assert till.posted == 20 * UNIT
        calendar.to(month(till, 2) - HOUR)
        assert give(till) == 0
        for number in range(2, 13):
            calendar.to(month(till, number))
            assert (give(till), give(till)) == (1, 0)
            assert till.posted == number * 20 * UNIT
        assert kept.current_period_end is not None
        calendar.to(kept.current_period_end + 2 * HOUR)
        assert give(till) == 0
        news(till, kept)
        news(till, kept)
        calendar.to(month(till, 2))
        drips.give_due()
        assert refs(till) == months(1, 12) + months(1, 2)
        assert [row.credit_nanos for row in cycles(till)] == [240 * UNIT] * 2

    def test_what_was_missed_is_given_once_in_order_and_lapses_if_it_is_over(
        self, till: Till, calendar: Calendar
    ):
        subscribed(till, yearly(till, resets=True))
        assert lots(till)[0].expires_at == month(till, 2) + drips.GRACE
        calendar.to(month(till, 5))
        assert give(till) == 4
        assert refs(till) == months(1, 5)
        assert till.posted == 40 * UNIT, "the month that is over for less than two hours, and this"
        calendar.pass_(drips.GRACE)
        with connection.cursor() as cursor:
            cursor.execute("SELECT ledger_lots_expire(%s)", [till.user.wallet_id])
        assert till.posted == 20 * UNIT
        assert [lot.remaining for lot in lots(till)] == [0, 0, 0, 0, 20 * UNIT]

    def test_somebody_who_dies_on_the_way_gives_nothing(
        self, till: Till, calendar: Calendar, monkeypatch
    ):
        subscribed(till, yearly(till))
        calendar.to(month(till, 3))
        with monkeypatch.context() as patched:

            def die(_order: Order) -> None:
                raise SystemExit

            patched.setattr(reversals, "settle", die)
            with pytest.raises(SystemExit):
                drips.give_due()
        assert (till.posted, dripped(till).given) == (20 * UNIT, 1)
        assert give(till) == 2
        assert refs(till) == months(1, 3)

    def test_several_at_once_give_a_month_once(self, till: Till, calendar: Calendar):
        subscribed(till, yearly(till))
        calendar.to(month(till, 3))

        def apart(_number: int) -> None:
            try:
                drips.give_due()
            finally:
                connection.close()

        with ThreadPoolExecutor(5) as pool:
            list(pool.map(apart, range(5)))
        assert refs(till) == months(1, 3)

    def test_one_that_cannot_be_booked_stops_no_other(
        self, till: Till, calendar: Calendar, monkeypatch
    ):
        subscribed(till, yearly(till))
        calendar.to(month(till, 2))
        with monkeypatch.context() as patched:
            patched.setattr(movements, "cycle", refuse)
            assert give(till) == 0
        assert give(till) == 0, "it is not tried at once again"
        calendar.pass_(drips.AGAIN)
        assert give(till) == 1


def refuse(*_given: object, **_more: object) -> None:
    raise InvalidRequestError("full", param="amount")


class TestEnds:
    def test_an_end_with_the_cycle_gives_all_that_was_paid(self, till: Till, calendar: Calendar):
        kept = subscribed(till, yearly(till))
        owner(till).subscriptions.update(kept.subscription_id, {"cancel_at_period_end": True})
        news(till, kept)
        calendar.to(month(till, 6))
        assert give(till) == 5
        calendar.to(dripped(till).ends_at + HOUR)
        news(till, kept)
        kept.refresh_from_db()
        assert kept.status == "canceled"
        assert give(till) == 6
        assert refs(till) == months(1, 12)
        assert dripped(till).next_at is None

    def test_an_end_at_once_ends_it_at_once(self, till: Till, calendar: Calendar):
        kept = subscribed(till, yearly(till))
        calendar.to(month(till, 3) + HOUR)
        owner(till).subscriptions.cancel(kept.subscription_id)
        news(till, kept)
        kept.refresh_from_db()
        assert (kept.status, kept.ended_at is None) == ("canceled", False)
        calendar.to(month(till, 7))
        assert give(till) == 2, "what had begun before it ended"
        calendar.to(month(till, 9))
        assert give(till) == 0
        assert (dripped(till).next_at, till.posted) == (None, 60 * UNIT)

    def test_a_renewal_that_is_not_paid_brings_no_month(self, till: Till, calendar: Calendar):
        kept = subscribed(till, yearly(till))
        customer = owner(till).subscriptions.retrieve(kept.subscription_id).customer
        till.fake.test("customers", customer, "card", card="chargeCustomerFail")
        calendar.to(dripped(till).ends_at + 2 * HOUR)
        news(till, kept)
        kept.refresh_from_db()
        assert kept.status == "past_due"
        assert give(till) == 11
        calendar.pass_(dt.timedelta(days=1))
        assert give(till) == 0
        assert refs(till) == months(1, 12)


class TestTakenBack:
    def test_a_part_takes_the_months_that_have_not_come(self, till: Till, calendar: Calendar):
        subscribed(till, yearly(till))
        calendar.to(month(till, 3))
        give(till)
        refunded(till, 12_500)
        assert till.total == 60 * UNIT, "nothing of what was given"
        calendar.to(month(till, 12))
        assert give(till) == 3
        assert refs(till) == months(1, 6)
        assert till.total == 115 * UNIT, "as much as is still paid for"

    def test_all_of_it_takes_what_was_given_and_ends_it(self, till: Till, calendar: Calendar):
        subscribed(till, yearly(till))
        calendar.to(month(till, 3))
        give(till)
        refunded(till, 24_000)
        assert till.total == 0
        calendar.to(month(till, 9))
        assert give(till) == 0
        assert dripped(till).next_at is None

    def test_a_dispute_stops_it_and_when_it_is_won_it_goes_on(self, till: Till, calendar: Calendar):
        subscribed(till, yearly(till))
        calendar.to(month(till, 2))
        give(till)
        (row,) = cycles(till)
        dispute = ""
        for moment in ("open", "withdraw"):
            dispute = till.fake.test("disputes", row.payment_intent_id, moment)["id"]
        till.hear(dispute)
        assert till.total == 0
        calendar.to(month(till, 4))
        assert give(till) == 0
        for moment in ("reinstate", "win"):
            till.fake.test("disputes", row.payment_intent_id, moment)
        till.hear(dispute)
        assert till.total == 40 * UNIT
        assert give(till) == 2
        assert till.total == 80 * UNIT

    def test_what_was_refunded_before_the_payment_was_known(self, till: Till, calendar: Calendar):
        order = checkout.click(till.user, orders.plan(yearly(till)))
        till.pay(order)
        plans.follow(till.account, owner(till).subscriptions.list().data[0].id)
        intent = owner(till).payment_intents.list().data[0].id
        made = owner(till).refunds.create({"payment_intent": intent, "amount": 24_000})
        till.hear(made.id)
        till.hear(order)
        assert (till.total, refs(till)) == (0, months(1, 1))
        calendar.to(month(till, 3))
        assert give(till) == 0


class TestChange:
    def change(self, till: Till, plan: Plan) -> PlanSubscription:
        kept = PlanSubscription.objects.get(user=till.user)
        item = owner(till).subscriptions.retrieve(kept.subscription_id)["items"].data[0]
        owner(till).subscriptions.update(
            kept.subscription_id,
            {
                "items": [{"id": item.id, "price": plan.stripe_price_id}],
                "proration_behavior": "always_invoice",
            },
        )
        news(till, kept)
        kept.refresh_from_db()
        assert kept.plan_id == plan.pk
        return kept

    def sold(self, till: Till, price: int, units: int, **given: Any) -> Plan:
        every = given.get("interval", "year")
        made = owner(till).prices.create(
            {
                "currency": "usd",
                "unit_amount": price,
                "recurring": {"interval": every},
                "product_data": {"name": "Pro"},
            }
        )
        return yearly(till, price, units, stripe_price_id=made.id, **given)

    @pytest.mark.parametrize(("other", "month_units"), [(10, 10), (60, 20)])
    def test_until_the_next_cycle_a_month_brings_the_smaller_credit(
        self, till: Till, calendar: Calendar, other, month_units
    ):
        subscribed(till, self.sold(till, 24_000, 20))
        kept = self.change(till, self.sold(till, other * 1_200, other))
        calendar.to(month(till, 2))
        assert give(till) == 1
        assert till.posted == (20 + month_units) * UNIT
        calendar.to(dripped(till).ends_at + 2 * HOUR)
        give(till)
        before = till.posted
        news(till, kept)
        assert till.posted == before + other * UNIT

    def test_a_yearly_plan_without_months_counts_by_its_twelfth(
        self, till: Till, calendar: Calendar
    ):
        subscribed(till, self.sold(till, 24_000, 20))
        self.change(till, self.sold(till, 12_000, 60, drips=False))
        calendar.to(month(till, 2))
        assert (give(till), till.posted) == (1, 25 * UNIT)

    def test_a_monthly_plan_begins_a_cycle_of_its_own(self, till: Till, calendar: Calendar):
        subscribed(till, self.sold(till, 24_000, 20))
        calendar.to(month(till, 2))
        give(till)
        self.change(till, self.sold(till, 2_000, 25, interval="month", drips=False))
        calendar.to(month(till, 5))
        assert give(till) == 0
        assert dripped_of(till).next_at is None


def dripped_of(till: Till) -> Drip:
    return Drip.objects.get(order__user=till.user)
