"""Billing's periodic work. A task is a hint: the rows are the truth, and running twice is safe."""

import asyncio
from collections.abc import Iterable
from typing import Final

import structlog
from celery import shared_task
from django.conf import settings
from django.db import connection

from billing import earnings
from billing.analytics import TOP_USERS
from billing.models import Answer
from billing.stripe import (
    cards,
    connect,
    drips,
    inbox,
    low_balances,
    person_orders,
    platform,
    promo_tries,
    reconcile,
    refills,
    stops,
)
from billing.verification import Result, forget_old_runs, verify, verify_new
from billing.webhooks import deliver
from billing.withdrawals import destinations, paying
from config.kit import clock
from config.kit.limits import EVENT_RETENTION_DAYS

log = structlog.get_logger(__name__)

REAP_MAX: Final = 1_000
LOTS_MAX: Final = 1_000
MONTHS_AHEAD: Final = 6
VERIFY_SECONDS_MAX: Final = 2 * settings.TASK_SECONDS_MAX - 60
"""The broker gives a task to somebody else after twice the usual limit."""


@shared_task(name="billing.tasks.reap_holds")
def reap_holds() -> int:
    """Ends the holds of processes that are gone: bills their checkpoint, frees the rest."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT billing_reap(%s, %s)", [settings.HOLD_LEASE_S, REAP_MAX])
        reaped = len(cursor.fetchall())
    if reaped:
        log.warning("holds.reaped", count=reaped)
    return reaped


@shared_task(name="billing.tasks.expire_lots")
def expire_lots() -> int:
    """Books expired credits to breakage and forgets stored answers that are past their day."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT DISTINCT account_id FROM ledger_lot
            WHERE remaining > held AND remaining > 0 AND expires_at <= clock_timestamp()
            ORDER BY account_id LIMIT %s
            """,
            [LOTS_MAX],
        )
        accounts = [row[0] for row in cursor.fetchall()]
        for account in accounts:
            cursor.execute("SELECT ledger_lots_expire(%s)", [account])
    Answer.objects.filter(expires_at__lt=clock.now()).delete()
    return len(accounts)


@shared_task(name="billing.tasks.verify_ledger", time_limit=VERIFY_SECONDS_MAX)
def verify_ledger() -> list[str]:
    """Runs the invariants over everything; returns the broken ones, and says so in the log."""
    forget_old_runs()
    return _alarmed(verify())


@shared_task(name="billing.tasks.verify_new")
def verify_new_entries() -> list[str]:
    """The same over what is new since the last such run."""
    results = verify_new()
    if results is None:
        log.warning("ledger.not_verified", reason="a transaction has been writing for too long")
    return _alarmed(results or [])


def _alarmed(results: Iterable[Result]) -> list[str]:
    broken = {result.number: result.examples for result in results if result.broken}
    if broken:
        log.error("ledger.broken", invariants=broken)
    return list(broken)


@shared_task(name="billing.tasks.ensure_partitions")
def ensure_partitions() -> list[str]:
    """Makes the next months of the request log and of events; drops events that are past theirs."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT billing_partitions_ensure(%s)"
            " UNION ALL SELECT billing_event_partitions(%s, %s)",
            [MONTHS_AHEAD, MONTHS_AHEAD, EVENT_RETENTION_DAYS],
        )
        return [row[0] for row in cursor.fetchall()]


@shared_task(name="billing.tasks.deliver_events")
def deliver_events() -> dict[str, int]:
    """Takes events to their subscriptions while any are due; a second one at a time returns."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT billing_deliveries_due()")
        (is_due,) = cursor.fetchone()
    counts = dict(asyncio.run(deliver.run(settings.DATABASE_DIRECT_URL))) if is_due else {}
    if counts:
        deliver.note(counts)
        log.info("events.delivered", **counts)
    return counts


@shared_task(name="billing.tasks.roll_up")
def roll_up() -> int:
    """Adds up the days of paywalls; returns how many sums changed."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT billing_roll_up()")
        return cursor.fetchone()[0] or 0


@shared_task(name="billing.tasks.rank_users")
def rank_users() -> int:
    """Counts every paywall's active users and finds who spent the most; returns the rankings."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT billing_rank(%s)", [TOP_USERS])
        return cursor.fetchone()[0] or 0


@shared_task(name="billing.tasks.process_stripe_events")
def process_stripe_events() -> int:
    """Handles what Stripe told us; the rows are there, whoever looks."""
    return inbox.process_due()


@shared_task(name="billing.tasks.drip_plans")
def drip_plans() -> int:
    """Gives the months of yearly plans that have begun; returns how many."""
    return drips.give_due()


@shared_task(name="billing.tasks.reconcile_stripe")
def reconcile_stripe() -> int:
    """Compares what Stripe has with what we have; returns how many accounts were compared."""
    return reconcile.reconcile_all()


@shared_task(name="billing.tasks.check_stripe_accounts")
def check_stripe_accounts() -> int:
    """Examines every active key again; returns how many have trouble."""
    return connect.check_all()


@shared_task(name="billing.tasks.mind_stripe_accounts")
def mind_stripe_accounts() -> int:
    """Tries whether people can pay again, and tells owners; returns where they still cannot."""
    stops.tell()
    return connect.mind_stopped()


@shared_task(name="billing.tasks.forget_promo_tries")
def forget_promo_tries() -> int:
    """Deletes tries of codes that count no more; returns how many."""
    return promo_tries.forget_old()


@shared_task(name="billing.tasks.forget_stripe_events")
def forget_stripe_events() -> int:
    """Deletes events of Stripe's that were handled long ago; returns how many."""
    return inbox.forget_old()


@shared_task(name="billing.tasks.watch_balances")
def watch_balances() -> int:
    """Finds balances that fell low, among what was booked since the last look."""
    return low_balances.watch()


@shared_task(name="billing.tasks.mail_notices")
def mail_notices() -> int:
    """Mails owners of low balances and of automatic top-ups that stopped; returns how many."""
    return low_balances.mail_due()


@shared_task(name="billing.tasks.refill_balances")
def refill_balances() -> int:
    """Charges saved cards where people agreed to it; returns how many agreements were due."""
    return refills.run_due()


@shared_task(name="billing.tasks.forget_cards")
def forget_cards() -> int:
    """Takes the cards and consents of erased users away; returns how many users."""
    return cards.forget_erased()


@shared_task(name="billing.tasks.clear_earnings")
def clear_earnings() -> int:
    """Clears earnings that are old enough; returns for how many teams something moved."""
    return earnings.clear_due()


@shared_task(name="billing.tasks.pay_withdrawals")
def pay_withdrawals() -> int:
    """Pays and follows withdrawals; returns how many it looked at."""
    destinations.check_all(only_new=True)
    return paying.pay_due()


@shared_task(name="billing.tasks.request_withdrawals")
def request_withdrawals() -> int:
    """Asks for what schedules say; returns how many withdrawals that makes."""
    return paying.request_scheduled()


@shared_task(name="billing.tasks.check_destinations")
def check_destinations() -> int:
    """Asks anew whether destinations can be paid to; returns how many have trouble."""
    return destinations.check_all()


@shared_task(name="billing.tasks.follow_person_orders")
def follow_person_orders() -> int:
    """Credits what people have paid to the operator; returns how many orders were asked about."""
    return person_orders.follow_due()


@shared_task(name="billing.tasks.reconcile_person_orders")
def reconcile_person_orders() -> int:
    """Looks for refunds and disputes of those; returns of how many orders there may be news."""
    modes = platform.modes()
    return sum(person_orders.reconcile(livemode=livemode) for livemode in modes)
