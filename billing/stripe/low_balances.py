"""Balances that fall low: found, told as events, mailed to owners once a day.

Nothing of this is on a request's way: a worker reads what was booked since its last look, and
nothing at all while nobody wants to know.
"""

import datetime as dt
from typing import Final

import structlog
from django.db import connection, transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from billing.stripe import amounts
from billing.stripe.catalog import PaymentSettings
from billing.stripe.refill_models import LowBalance, LowWatch, RefillAgreement
from config.kit.db import forbid_transaction, require_transaction
from ledger.watermark import complete_upto
from paywalls import notices
from paywalls.models import Paywall

log = structlog.get_logger(__name__)

ENTRIES_MAX: Final = 50_000
"""Entries of one statement; the next goes on from there."""

MAIL_EVERY: Final = dt.timedelta(days=1)
MAILED_MAX: Final = 20
"""Users named in one mail; of the others it says how many they are."""

AT_ONCE_MAX: Final = 100
BEGIN: Final = """
    INSERT INTO billing_low_watch (id, watched_upto)
    SELECT 1, coalesce(max(id), 0) FROM ledger_entry ON CONFLICT DO NOTHING
"""


def begin_watch() -> None:
    """What is booked from now on is looked at. The caller's transaction."""
    require_transaction()
    with connection.cursor() as cursor:
        cursor.execute(BEGIN)


def watch() -> int:
    """Looks at what was booked since the last time; returns how many entries that may be."""
    forbid_transaction()
    row = LowWatch.objects.first()
    if row is None:
        return 0
    if not _is_wanted():
        LowWatch.objects.all().delete()
        return 0
    upto = complete_upto()
    if upto is None:
        log.warning("balances.not_watched", reason="a transaction has been writing for too long")
        return 0
    came_to = row.watched_upto
    while came_to < upto:
        with connection.cursor() as cursor:
            cursor.execute("SELECT billing_low_watch(%s, %s)", [upto, ENTRIES_MAX])
            (came_to,) = cursor.fetchone()
    return max(upto - row.watched_upto, 0)


def mail_due() -> int:
    """Mails owners what they were not told yet, each paywall's once a day; returns how many."""
    mailed = 0
    while mailed < AT_ONCE_MAX and _mail_next():
        mailed += 1
    return mailed


def _is_wanted() -> bool:
    return (
        PaymentSettings.objects.filter(low_balance_nanos__isnull=False).exists()
        or PaymentSettings.objects.filter(refills=True).exists()
    )


def _mail_next() -> bool:
    with transaction.atomic():
        row = (
            _waiting()
            .select_for_update(skip_locked=True, no_key=True, of=("self",))
            .select_related("paywall__team")
            .first()
        )
        if row is None:
            return False
        PaymentSettings.objects.filter(pk=row.pk).update(notices_mailed_at=Now())
        low, stopped = _low_of(row), _stopped_of(row.paywall)
        lines = [*_low_lines(low, row.paywall), *_stopped_lines(stopped)]
        subject = "Balances are low" if low.exists() else "Automatic top-ups have stopped"
        notices.tell_owners(
            row.paywall.team, subject=f"{subject}: {row.paywall.name}", text="\n".join(lines)
        )
        low.update(mailed_at=Now())
        stopped.update(told_at=Now())
    return True


def _waiting() -> QuerySet[PaymentSettings, PaymentSettings]:
    """Paywalls whose owners should hear something, and may."""
    mine = OuterRef("paywall_id")
    low = LowBalance.objects.filter(paywall_id=mine, mailed_at=None)
    stopped = RefillAgreement.objects.filter(
        customer__account__paywall_id=mine, told_at=None
    ).exclude(trouble="")
    may = Q(notices_mailed_at=None) | Q(notices_mailed_at__lt=Now() - MAIL_EVERY)
    has = Q(Exists(low), low_balance_mail=True) | Q(Exists(stopped))
    return PaymentSettings.objects.filter(may & has)


def _low_of(row: PaymentSettings) -> QuerySet[LowBalance, LowBalance]:
    mine = LowBalance.objects.filter(paywall=row.paywall, mailed_at=None)
    return mine if row.low_balance_mail else mine.none()


def _stopped_of(paywall: Paywall) -> QuerySet[RefillAgreement, RefillAgreement]:
    mine = RefillAgreement.objects.filter(customer__account__paywall=paywall, told_at=None)
    return mine.exclude(trouble="")


def _low_lines(low: QuerySet[LowBalance, LowBalance], paywall: Paywall) -> list[str]:
    found = list(low.select_related("user").order_by("since")[:MAILED_MAX])
    if not found:
        return []
    shown = [
        f"{row.user.external_id}: {amounts.shown(row.level_nanos, paywall.currency)}"
        for row in found
    ]
    below = amounts.shown(found[0].threshold_nanos, paywall.currency)
    return [f"These users fell below {below}:", "", *shown, *_more(low.count()), ""]


def _stopped_lines(stopped: QuerySet[RefillAgreement, RefillAgreement]) -> list[str]:
    found = list(
        stopped.annotate(user=F("customer__user__external_id")).order_by("id")[:MAILED_MAX]
    )
    if not found:
        return []
    shown = [f"{row.user}: {row.trouble}" for row in found]
    return ["Automatic top-ups of these users have stopped:", "", *shown, *_more(stopped.count())]


def _more(count: int) -> list[str]:
    return [f"and {count - MAILED_MAX} more"] if count > MAILED_MAX else []
