"""Stripe's news, delivered over a socket to a server process, and acted on."""

from collections.abc import Iterator
from typing import Any

import pytest

from billing.stripe import checkout, connect, inbox, orders, reconcile
from billing.stripe.catalog import Plan
from billing.stripe.models import InboxEvent, PlanSubscription, StripeAccount
from config.dev.process import wait_until
from tests.fakes.stripe.control_events import FORGERIES
from tests.fakes.stripe.server import Running, running
from tests.stripe.till import UNIT, Till, open_till
from tests.support.patience import PATIENCE_S
from tests.support.product import Server

CYCLE_S = 31 * 86_400 + 7_200


@pytest.fixture
def stripe() -> Iterator[Running]:
    with running() as program:
        yield program


@pytest.fixture
def till(stripe: Running, product: Server, settings: Any) -> Till:
    """Its webhook leads to the running product."""
    settings.STRIPE_API_BASE, settings.BASE_URL = stripe.url, product.url
    return open_till(stripe)


def arrived(till: Till, **what: str) -> bool:
    return InboxEvent.objects.filter(account=till.account, **what).exists()


def test_the_test_event_proves_that_stripe_reaches_us(till: Till):
    def is_heard() -> bool:
        till.account.refresh_from_db()
        return till.account.heard_at is not None

    wait_until(is_heard, children=[], timeout_s=PATIENCE_S, what="the test event")
    assert all(each.ok for each in connect.findings(till.account))


def test_a_payment_and_what_is_forged_of_it(till: Till):
    order = till.order()
    till.pay(order)
    completed = "checkout.session.completed"
    wait_until(
        lambda: arrived(till, type=completed), children=[], timeout_s=PATIENCE_S, what=completed
    )
    event = InboxEvent.objects.get(account=till.account, type=completed)
    for kind in FORGERIES:
        (status,) = till.fake.test("events", event.event_id, "forge", kind=kind)["statuses"]
        assert status == 400, kind
    till.fake.test("events", "replay", event=event.event_id, times=5)
    wait_until(
        lambda: inbox.process_due() == 0 and till.posted > 0,
        children=[],
        timeout_s=PATIENCE_S,
        what="the credit",
    )
    assert (till.again(order).status, till.posted) == ("paid", 10 * UNIT)
    assert InboxEvent.objects.filter(account=till.account, type=completed).count() == 1


def test_nobody_is_at_another_address(till: Till):
    StripeAccount.objects.filter(pk=till.account.pk).update(path=till.user.pk.hex)
    order = till.order()
    till.pay(order)
    (event,) = [e for e in till.news(order) if e["type"] == "checkout.session.completed"]
    answers = till.fake.test("events", event["id"], "forge", kind="none")["statuses"]
    assert answers == [404]
    assert not arrived(till, type="checkout.session.completed")


def test_a_plan_is_renewed_once_whatever_is_sent_again(till: Till):
    plan = Plan.objects.create(
        paywall=till.paywall,
        name="Reader",
        price_minor=1000,
        currency="USD",
        interval="month",
        credit_nanos=12 * UNIT,
        resets=False,
    )
    order = checkout.click(till.user, orders.plan(plan))
    till.pay(order)
    worth(till, 12)
    till.fake.test("clock", "advance", seconds=CYCLE_S)
    worth(till, 24)
    for event in InboxEvent.objects.filter(account=till.account):
        till.fake.test("events", "replay", event=event.event_id, times=2)
    while inbox.process_due():
        pass
    reconcile.reconcile(till.account)
    assert till.posted == 24 * UNIT
    assert [row.kind for row in till.topups()] == ["topup"] * 2
    named = PlanSubscription.objects.get(user=till.user)
    assert (named.status, named.plan) == ("active", plan)


def worth(till: Till, units: int) -> None:
    """The news has come by itself, and the user has so much."""

    def is_there() -> bool:
        inbox.process_due()
        return till.posted == units * UNIT

    wait_until(is_there, children=[], timeout_s=PATIENCE_S, what=f"{units} units")
