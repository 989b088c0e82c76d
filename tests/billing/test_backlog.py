"""What waits between us and others, as `/metrics` tells it."""

import datetime as dt
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connection, transaction

from billing import backlog
from billing.database import Database
from billing.stripe.models import InboxEvent, Order, StripeAccount
from billing.webhooks import deliver
from billing.webhooks.models import Delivery, Subscription
from config.kit import clock, ids
from paywalls.models import Paywall
from proxy.metrics import Metrics
from tests.factories import EndUserFactory, PaywallFactory

HOUR_AGO = dt.timedelta(hours=1)


@pytest.fixture
async def database() -> AsyncIterator[Database]:
    opened = Database(settings.DATABASE_URL, size=1)
    await opened.open()
    yield opened
    await opened.close()


def subscribe(paywall: Paywall, **fields: Any) -> Subscription:
    return Subscription.objects.create(
        paywall=paywall, url="https://hooks.example.com", sealed_secret=b"", **fields
    )


def wait_in_line() -> None:
    """One of everything that can wait, an hour old."""
    then = clock.now() - HOUR_AGO
    paywall = PaywallFactory.create()
    told = subscribe(paywall)
    subscribe(paywall, consecutive_failures=3)
    subscribe(paywall, is_active=False)
    for status in ("pending", "success", "error"):
        Delivery.objects.create(
            id=ids.uuid7(),
            event_id=ids.uuid7(),
            subscription_id=told.pk,
            paywall_id=paywall.pk,
            type="paywall.updated",
            status=status,
            attempts=1,
            due_at=then + HOUR_AGO / 2,
            created_at=then,
            updated_at=then,
        )
    account = StripeAccount.objects.create(
        paywall=paywall, livemode=True, sealed_key=b"", path=ids.uuid7().hex, stopped_at=then
    )
    for state in ("received", "quarantined", "done"):
        InboxEvent.objects.create(
            account=account, event_id=f"evt_{state}", payload={}, state=state, received_at=then
        )
    user = EndUserFactory.create(paywall=paywall)
    for status in ("open", "pending", "expired"):
        Order.objects.create(
            paywall=paywall,
            user=user,
            account=account,
            livemode=True,
            kind="topup",
            price_minor=100,
            currency="USD",
            credit_nanos=10**9,
            status=status,
        )


async def test_each_number_counts_what_waits_and_nothing_else(database: Database):
    before = await backlog.read(database)
    await sync_to_async(wait_in_line)()
    after = await backlog.read(database)
    for name in ("pending", "stripe_waiting", "stripe_quarantined", "stopped"):
        assert getattr(after, name) - getattr(before, name) == 1, name
    for name in ("subscriptions", "orders"):
        was, now = getattr(before, name), getattr(after, name)
        assert {state: now[state] - was[state] for state in now} == dict.fromkeys(now, 1), name
    assert after.pending_age_s >= HOUR_AGO.total_seconds()
    assert after.stripe_age_s >= HOUR_AGO.total_seconds()
    assert after.overdue_s >= HOUR_AGO.total_seconds() / 2


async def test_attempts_add_up_over_runs(database: Database):
    before = (await backlog.read(database)).deliveries
    for counts in ({"success": 2, "retry": 1}, {"success": 3}, {}):
        await sync_to_async(deliver.note)(counts)
    after = (await backlog.read(database)).deliveries
    assert after["success"] - before.get("success", 0) == 5
    assert after["retry"] - before.get("retry", 0) == 1


def test_nothing_is_read_that_does_not_wait():
    """Tables that only grow are looked at through an index of what waits."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN {backlog.SQL}")
        plan = "\n".join(row[0] for row in cursor.fetchall())
    for index in ("stripe_event_due", "stripe_event_quarantined", "order_unfinished"):
        assert index in plan, plan
    assert "Seq Scan on billing_delivery" not in plan.replace("billing_delivery_total", "")


def test_the_text():
    metrics = Metrics()
    metrics.backlog = backlog.Backlog(
        read_at=1.0,
        pending=4,
        pending_age_s=60.0,
        overdue_s=30.0,
        deliveries={"success": 7},
        subscriptions={"disabled": 2},
        stripe_waiting=5,
        stripe_age_s=90.0,
        stripe_quarantined=1,
        orders={"open": 3},
        stopped=6,
    )
    lines = metrics.exposition().decode().splitlines()
    for line in (
        'paywalls_webhook_attempts_total{outcome="success"} 7.0',
        "paywalls_webhooks_pending 4.0",
        "paywalls_webhooks_pending_seconds 60.0",
        "paywalls_webhooks_overdue_seconds 30.0",
        'paywalls_webhook_subscriptions{state="disabled"} 2.0',
        "paywalls_stripe_events_waiting 5.0",
        "paywalls_stripe_events_waiting_seconds 90.0",
        "paywalls_stripe_events_quarantined 1.0",
        "paywalls_stripe_accounts_stopped 6.0",
        'paywalls_orders_unfinished{state="open"} 3.0',
    ):
        assert line in lines
