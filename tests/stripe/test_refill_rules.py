"""What stands against charging somebody's card, and until when."""

import datetime as dt
from dataclasses import replace

import pytest
from django.db import transaction

from billing.stripe import connect, low_balances, refill_rules, refills
from billing.stripe.models import StripeAccount
from billing.stripe.refill_rules import Facts, Obstacle, obstacle
from billing.stripe.refill_words import Bounds
from paywalls import users
from paywalls.models import Paywall
from tests.factories import ACTOR
from tests.stripe.refilling import Refiller
from tests.stripe.till import UNIT

NOON = dt.datetime(2026, 12, 31, 12, tzinfo=dt.UTC)


class TestObstacles:
    GOOD = Facts(
        is_agreed=True,
        is_offered=True,
        has_other_key=False,
        is_closed=False,
        is_disputed=False,
        is_busy=False,
        level=4,
        owed=0,
        below=5,
        amount=10,
        bounds=Bounds(currency="USD", least_nanos=1, most_nanos=10, first_nanos=5),
        month_spent=90,
        month_most=100,
        next_month=NOON,
    )

    def test_none(self):
        assert obstacle(self.GOOD) is None

    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({"is_agreed": False}, Obstacle()),
            ({"is_offered": False}, Obstacle()),
            ({"level": 5}, Obstacle()),
            ({"owed": 1}, Obstacle()),
            ({"has_other_key": True}, Obstacle(trouble=refill_rules.OTHER_KEY)),
            ({"is_disputed": True}, Obstacle(trouble=refill_rules.DISPUTED)),
            ({"amount": 11, "month_spent": 0}, Obstacle(trouble=refill_rules.OTHER_LIMITS)),
            ({"is_closed": True}, Obstacle(wait=refill_rules.CLOSED)),
            ({"is_busy": True}, Obstacle(wait=refill_rules.BUSY)),
            ({"month_spent": 91}, Obstacle(wait=NOON)),
        ],
    )
    def test_each(self, changes, expected):
        assert obstacle(replace(self.GOOD, **changes)) == expected

    def test_the_month_is_the_paywalls(self):
        paywall = Paywall(timezone="Pacific/Auckland")
        begin, end = refill_rules.month_of(NOON, paywall)
        assert (begin.isoformat(), end.isoformat()) == (
            "2027-01-01T00:00:00+13:00",
            "2027-02-01T00:00:00+13:00",
        )

    def test_nothing_is_charged_in_a_paywall_that_is_closed(self, low: Refiller):
        paywall = Paywall.objects.filter(pk=low.till.paywall.pk)
        account = StripeAccount.objects.filter(pk=low.till.account.pk)
        for rows, changes, again in (
            (paywall, {"paused_at": NOON}, {"paused_at": None}),
            (account, {"trouble": "To be repaired"}, {"trouble": ""}),
            (account, {"stopped_at": NOON}, {"stopped_at": None}),
            (account, {"is_active": False}, {"is_active": True}),
            (paywall, {"archived_at": NOON}, {"archived_at": None}),
        ):
            rows.update(**changes)
            low_balances.watch()
            low.hurry()
            refills.run_due()
            assert low.orders == [], changes
            rows.update(**again)
            low.spend(1) if low.agreement.due_at is None else None
        low_balances.watch()
        low.hurry()
        refills.run_due()
        assert len(low.orders) == 1

    def test_nor_for_a_user_who_is_blocked_or_owes(self, low: Refiller):
        with transaction.atomic():
            users.block(low.user, actor=ACTOR)
        low.work()
        with transaction.atomic():
            users.unblock(low.user, actor=ACTOR)
        order = low.till.paid(10)
        low.spend(14)
        low.till.fake.test("refunds", session=order.session_id, amount=500)
        low.till.hear(order)
        assert low.till.wallet.owed == 5 * UNIT
        low.hurry()
        low.work()
        assert low.orders == []

    def test_another_stripe_account_asks_for_consent_again(self, low: Refiller):
        low.till.fake.test(
            "keys", key="rk_live_51AnotherAccountOfTheSameSeller", account="acct_another1"
        )
        connect.connect(low.till.paywall, "rk_live_51AnotherAccountOfTheSameSeller", actor=ACTOR)
        low.work()
        assert low.orders == []
        assert low.agreement.trouble == refill_rules.OTHER_KEY

    @pytest.mark.parametrize("what", ["refund", "dispute"])
    def test_a_payment_that_was_taken_back_is_not_taken_again(self, low: Refiller, what):
        low.work()
        (order,) = low.orders
        if what == "refund":
            low.till.fake.test("refunds", payment_intent=order.payment_intent_id)
        else:
            low.till.fake.test("disputes", order.payment_intent_id, "open")
            low.till.fake.test("disputes", order.payment_intent_id, "withdraw")
        low.till.hear(order.payment_intent_id)
        assert low.till.posted == 4 * UNIT
        low.work()
        assert len(low.orders) == 1
        assert low.agreement.trouble == refill_rules.DISPUTED
