"""What a paywall earned, from roll-ups: exact, in its own days, and one tenant never stops it."""

import datetime as dt

import pytest
from asgiref.sync import sync_to_async

from billing import movements, tasks
from billing.analytics import Analytics, Sums, analytics
from billing.movements import Reason
from config.kit import clock, ids
from config.kit.money import AMOUNT_NANOS_MAX
from paywalls.models import Paywall
from tests.billing.conftest import ask, bill, deposit
from tests.factories import PaywallFactory

WHY = Reason(actor="dev_1", reason="because")


def shown(paywall_id, days=30, *, livemode=True) -> Analytics:
    """After the worker's runs."""
    tasks.roll_up()
    tasks.rank_users()
    return analytics(paywall_id, livemode=livemode, days=days)


def sums(requests=0, failures=0, prompt=0, completion=0, revenue=0, cost=0) -> Sums:
    return Sums.of((requests, failures, prompt, completion, revenue, cost))


def earn(paywall, user, nanos) -> None:
    movements.deposit(paywall, user, nanos, WHY)
    movements.charge(paywall, user, nanos, WHY)


async def test_requests_failures_tokens_and_money_are_added_up(gate, payer):
    await deposit(gate, payer, 1_000)
    for charge, more in (
        (10, {}),
        (20, {"model": "demo/large"}),
        (0, {"status": "failed", "usage": {}, "provider_cost_nanos": 3}),
    ):
        asked = ask(payer, 100)
        await gate.reserve(asked)
        await gate.settle(bill(asked, charge, **more))
    seen = await sync_to_async(shown)(payer.paywall_id)
    assert seen.total == sums(3, 1, 20, 10, 30, 18)
    assert seen.total.margin_nanos == 12
    assert list(seen.by_model.items()) == [
        ("demo/large", sums(1, 0, 10, 5, 20, 10)),
        ("demo/echo-1", sums(2, 1, 10, 5, 10, 8)),
    ]
    assert list(seen.by_day) == [clock.now().date()]
    assert seen.added_up_at
    assert (await sync_to_async(shown)(payer.paywall_id, livemode=False)).total == sums()


def test_what_comes_later_is_added_and_a_second_run_changes_nothing():
    paywall = PaywallFactory.create()
    earn(paywall, "u", 5)
    assert shown(paywall.id).total.revenue_nanos == 5
    earn(paywall, "u", 7)
    assert shown(paywall.id).total.revenue_nanos == 12
    assert tasks.roll_up() == 0


def test_a_worker_that_was_away_for_days_adds_up_all_of_them(owner):
    paywall = PaywallFactory.create()
    earn(paywall, "u", 5)
    tasks.roll_up()
    owner.execute("UPDATE billing_rollup SET rolled_at = rolled_at - interval '5 days'")
    owner.execute(
        "INSERT INTO billing_daily SELECT user_id, day - 4, model, paywall_id, livemode, 1, 0, 0,"
        " 0, 0, 0 FROM billing_daily WHERE paywall_id = %s",
        [paywall.id],
    )
    assert shown(paywall.id).total.requests == 2


@pytest.mark.parametrize(("days", "requests"), [(1, 1), (7, 2), (30, 3), (90, 4)])
def test_a_period_is_the_last_days_with_today(days, requests, owner):
    paywall = PaywallFactory.create()
    earn(paywall, "u", 5)
    owner.execute("DELETE FROM billing_rollup")
    owner.execute(
        "INSERT INTO billing_daily SELECT user_id, day - back, model, paywall_id, livemode, 1, 0,"
        " 0, 0, 0, 0 FROM billing_daily, unnest(ARRAY[6, 29, 89, 90]) AS back"
        " WHERE paywall_id = %s",
        [paywall.id],
    )
    seen = shown(paywall.id, days)
    assert (seen.total.requests, seen.top_users[0].requests) == (requests, requests)


def test_days_are_the_paywalls_own():
    """Between the two zones it is never the same day."""
    days = []
    for zone in ("Pacific/Kiritimati", "Etc/GMT+12"):
        paywall = PaywallFactory.create(timezone=zone)
        earn(paywall, "u", 5)
        seen = shown(paywall.id, 1)
        assert seen.total.requests == seen.active_users == 1
        days += seen.by_day
    assert days[0] - days[1] >= dt.timedelta(days=1)


def test_who_spent_the_most_comes_first_and_everybody_is_counted(monkeypatch):
    monkeypatch.setattr(tasks, "TOP_USERS", 2)
    paywall = PaywallFactory.create()
    for user, nanos in (("a", 5), ("b", 50), ("c", 20)):
        earn(paywall, user, nanos)
    seen = shown(paywall.id)
    assert seen.active_users == 3
    assert [(top.user, top.spent_nanos) for top in seen.top_users] == [("b", 50), ("c", 20)]


def test_a_paywall_nobody_used_has_nothing():
    seen = shown(ids.uuid7())
    assert (seen.total, seen.active_users, seen.ranked_at) == (sums(), 0, None)


def test_a_zone_that_the_database_does_not_know_stops_nobody():
    odd, sound = PaywallFactory.create(), PaywallFactory.create()
    for paywall in (odd, sound):
        earn(paywall, "u", 5)
    Paywall.objects.filter(id=odd.id).update(timezone="Moon/Crater")
    try:
        assert shown(sound.id).active_users == 1
    finally:
        Paywall.objects.filter(id=odd.id).update(timezone="UTC")


async def test_sums_of_one_tenant_beyond_a_bigint_stop_nobody(reads, payer):
    """A user's day, a paywall's day and a ranking: each is ten billion units."""
    huge = await Paywall.objects.aget(id=payer.paywall_id)
    times = 10
    assert times * AMOUNT_NANOS_MAX > 2**63
    for _ in range(times):
        await sync_to_async(earn)(huge, payer.user, AMOUNT_NANOS_MAX)
    sound = await sync_to_async(PaywallFactory.create)()
    await sync_to_async(earn)(sound, "u", 5)
    assert (await sync_to_async(shown)(sound.id)).total.revenue_nanos == 5
    seen = await sync_to_async(shown)(huge.id)
    assert seen.total.revenue_nanos == times * AMOUNT_NANOS_MAX
    assert seen.top_users[0].spent_nanos == times * AMOUNT_NANOS_MAX
    rows = await reads.usage(payer, "day")
    assert [row.charged_nanos for row in rows] == [times * AMOUNT_NANOS_MAX]
