"""Has withdrawals paid, follows them, and asks for those that are due by a schedule.

A task is a hint: what is due is a row with a time, which comes again until its payment has ended.
"""

import datetime as dt
from typing import Final

import structlog
from django.db import connection, transaction

from billing.earnings import read
from billing.withdrawals import errors, requests, terms
from billing.withdrawals.models import Destination, Withdrawal
from billing.withdrawals.registry import adapter_of
from config.kit import clock
from config.kit.db import forbid_transaction
from config.kit.errors import PaywallsError
from ledger.models import Verification

log = structlog.get_logger(__name__)

BATCH_MAX: Final = 100
LEASE_S: Final = 300
"""One whose worker died is taken again after this; longer than all calls of an adapter."""

ACTOR: Final = "system:payouts"
Schedule = Destination.Schedule


def pay_due() -> int:
    """Pays and follows until nothing is due; returns how many it looked at. Several may run at
    once. While the books are broken nothing goes out.
    """
    forbid_transaction()
    if broken := broken_invariants():
        log.error("withdrawals.stopped", invariants=broken)
        return 0
    looked = 0
    while looked < BATCH_MAX and (withdrawal := _claim()):
        look(withdrawal)
        looked += 1
    return looked


def look(withdrawal: Withdrawal) -> Withdrawal:
    """Has it paid, or asks where it is; what nobody can say now is asked again later."""
    adapter = adapter_of(withdrawal.destination)
    try:
        outcome = (adapter.follow if withdrawal.facts else adapter.pay)(withdrawal)
    except PaywallsError as error:
        log.warning("withdrawal.waits", withdrawal=str(withdrawal), error=error.code)
        return withdrawal
    if outcome.state == "failed":
        log.error("withdrawal.failed", withdrawal=str(withdrawal), reason=outcome.reason)
    return requests.record(withdrawal, outcome, actor=ACTOR)


def broken_invariants() -> list[str]:
    """Of the last run over everything, and of the last over what was new."""
    found = set()
    for part in (Verification.objects.filter(upto=None), Verification.objects.exclude(upto=None)):
        last = part.order_by("-id").first()
        if last is not None and not last.ok:
            found |= {number for number, broken, *_ in last.results if broken}
    return sorted(found)


def request_scheduled(today: dt.date | None = None) -> int:
    """Asks for all there is where a schedule says so; returns how many withdrawals were made. The
    day is in the key, so however often it runs, one is made.
    """
    day = today or clock.now().date()
    due = [Schedule.WEEKLY] if day.weekday() == 0 else []
    due += [Schedule.MONTHLY] if day.day == 1 else []
    made = 0
    rows = Destination.objects.select_related("team").filter(is_active=True, schedule__in=due)
    for row in rows:
        least = terms.in_force().minimum_nanos
        if read(row.team, livemode=row.livemode).available_nanos < max(least, 1):
            continue
        key = f"schedule:{row.schedule}:{day}"
        if Withdrawal.objects.filter(team=row.team, livemode=row.livemode, key=key).exists():
            continue
        try:
            with transaction.atomic():
                requests.request(row.team, None, livemode=row.livemode, actor="schedule", key=key)
            made += 1
        except (errors.WithdrawalTooSmallError, errors.InsufficientEarningsError):
            log.info("withdrawal.not_scheduled", destination=row.public_id)
    return made


def _claim() -> Withdrawal | None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT billing_withdrawal_claim(%s)", [LEASE_S])
        (found,) = cursor.fetchone()
    return requests.find(found) if found else None
