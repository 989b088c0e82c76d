"""Billing's periodic work. A task is a hint: the rows are the truth, and running twice is safe."""

from typing import Final

import structlog
from celery import shared_task
from django.conf import settings
from django.db import connection

from billing.invariants import verify
from billing.models import Answer
from config.kit import clock

log = structlog.get_logger(__name__)

REAP_MAX: Final = 1_000
LOTS_MAX: Final = 1_000
MONTHS_AHEAD: Final = 6


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


@shared_task(name="billing.tasks.verify_ledger")
def verify_ledger() -> list[str]:
    """Runs the invariants and keeps the run; returns the broken ones, and says so in the log."""
    broken = [result.number for result in verify() if result.broken]
    if broken:
        log.error("ledger.broken", invariants=broken)
    return broken


@shared_task(name="billing.tasks.ensure_partitions")
def ensure_partitions() -> list[str]:
    """Makes the request log's next months."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT billing_partitions_ensure(%s)", [MONTHS_AHEAD])
        return [row[0] for row in cursor.fetchall()]
