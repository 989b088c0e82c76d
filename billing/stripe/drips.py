"""Yearly plans whose credit comes month by month.

A paid year is one order, for the credit of all its months, and beside it a row that says how far
it is (`Drip`). Each month is booked once for ever, under the invoice's id and its number, when it
has begun by the database's clock; what was missed is made up for, in order.

What was paid for is what is given: a refund or dispute first takes months that have not come yet,
and the months go on as far as they are still paid for. They end with the subscription when it is
ended at once, and when another cycle begins sooner. After a change of plan a month brings the
smaller credit of the two, until the next cycle is paid.
"""

import calendar
import datetime as dt
from typing import Final

import structlog
from django.db import DatabaseError, connection, transaction
from django.db.models import F
from django.db.models.functions import Least

from billing import movements
from billing.movements import Reason
from billing.stripe import reversals
from billing.stripe.catalog import Plan
from billing.stripe.models import Drip, Order, PlanSubscription
from config.kit import ids
from config.kit.db import forbid_transaction, require_transaction
from config.kit.errors import PaywallsError
from paywalls.models import EndUser

log = structlog.get_logger(__name__)

ACTOR: Final = "stripe"
MONTHS: Final = 12
"""Of a year: a plan may be for several."""

GRACE: Final = dt.timedelta(hours=2)
"""Left-overs outlive their cycle by this: Stripe takes the next one's money an hour after it began.
Source: docs.stripe.com/billing/subscriptions/webhooks (invoices are finalized an hour later)."""

RUN_MAX: Final = 1_000
"""Orders in one run; the next goes on."""

AGAIN: Final = dt.timedelta(hours=1)
"""One that cannot be booked does not stop the others, and is tried again."""


def months_of(plan: Plan) -> int:
    """How many times a paid cycle brings the plan's credit."""
    return MONTHS * plan.interval_count if plan.drips else 1


def month_begins(start: dt.datetime, number: int) -> dt.datetime:
    """When the month with this number, from 0, begins: on the start's day, or the month's last.

    >>> [f"{month_begins(dt.datetime(2028, 1, 31), number):%m-%d}" for number in range(4)]
    ['01-31', '02-29', '03-31', '04-30']
    """
    years, month = divmod(start.month - 1 + number, MONTHS)
    last = calendar.monthrange(start.year + years, month + 1)[1]
    return start.replace(year=start.year + years, month=month + 1, day=min(start.day, last))


def lapses_at(start: dt.datetime, end: dt.datetime, paid: dt.datetime) -> dt.datetime:
    """When the credit of a cycle or month ends; what is paid after it lasts as long as one."""
    return (end if end > paid else paid + (end - start)) + GRACE


def begin(
    order: Order, kept: PlanSubscription, month_nanos: int, starts: dt.datetime, ends: dt.datetime
) -> None:
    """Gives the first month of a cycle that was paid, and keeps the rest for later.

    order: the cycle's own, in the caller's transaction.
    """
    assert order.plan is not None, order
    Drip.objects.create(
        order=order,
        subscription=kept,
        starts_at=starts,
        ends_at=ends,
        until=ends,
        month_nanos=month_nanos,
        months=months_of(order.plan),
        resets=order.plan.resets,
    )
    cut(kept)
    give(order)


def cut(kept: PlanSubscription) -> None:
    """Ends what the subscription gives at its own end, or where another cycle began sooner."""
    mine = Drip.objects.filter(subscription=kept, given__lt=F("months"))
    if kept.ended_at:
        mine.update(until=Least("until", kept.ended_at))
    if begun := kept.current_period_start:
        mine.filter(starts_at__lt=begun).update(until=Least("until", begun))


def give(order: Order) -> int:
    """Gives the months that have begun and are still paid for; how many.

    The caller's transaction holds the order's row. Raises: PaywallsError when the wallet cannot
    take it.
    """
    require_transaction()
    rows = Drip.objects.select_for_update(no_key=True, of=("self",))
    drip = rows.select_related("subscription__plan").get(pk=order.pk)
    now, before, lapsed = _now(livemode=order.livemode), drip.given, False
    while _is_due(drip, order, now):
        lapses = _give_one(drip, order)
        lapsed = lapsed or (lapses is not None and lapses <= now)
    if drip.given > before:
        drip.save(update_fields=["given", "given_nanos"])
        reversals.settle(order)
    drip.next_at = _looks_again(drip, now)
    drip.save(update_fields=["next_at"])
    if lapsed:
        _expire(order)
    return drip.given - before


def comes_next(kept: PlanSubscription) -> dt.datetime | None:
    """When the next month's credit comes; None where the cycle brings it, or none will come."""
    rows = kept.drips.filter(next_at__isnull=False).order_by("starts_at")
    return rows.values_list("next_at", flat=True).last()


def give_due() -> int:
    """Gives what is due in all paywalls; how many months."""
    forbid_transaction()
    return sum(
        _give_apart(order) for livemode in (True, False) for order in _due(livemode=livemode)
    )


def _due(*, livemode: bool) -> list[Order]:
    due = Order.objects.filter(livemode=livemode, drip__next_at__lte=_now(livemode=livemode))
    return list(due.order_by("drip__next_at")[:RUN_MAX])


def _give_apart(order: Order) -> int:
    try:
        with transaction.atomic():
            row = Order.objects.select_for_update(no_key=True, of=("self",))
            return give(row.select_related("paywall", "user", "plan").get(pk=order.pk))
    except (PaywallsError, DatabaseError) as error:
        log.exception("drip.not_given", order=order.public_id, error=type(error).__name__)
        later = _now(livemode=order.livemode) + AGAIN
        Drip.objects.filter(pk=order.pk).update(next_at=later)
        return 0


def _is_due(drip: Drip, order: Order, now: dt.datetime) -> bool:
    """Whether another month has begun, is part of the paid time, and is not all taken back. The
    first comes with the payment: what takes it back follows it.
    """
    if drip.given == 0:
        return True
    begins = month_begins(drip.starts_at, drip.given)
    if drip.given == drip.months or begins > now or begins >= drip.until:
        return False
    left = order.credit_nanos - drip.given_nanos
    return _nanos(drip, order) > 0 and reversals.standing(order) < left


def _nanos(drip: Drip, order: Order) -> int:
    """What the next month brings."""
    plan = drip.subscription.plan
    if plan.pk == order.plan_id or drip.given == 0:
        return drip.month_nanos
    each = plan.credit_nanos if plan.drips else plan.credit_nanos // drip.months
    return min(drip.month_nanos, each)


def _give_one(drip: Drip, order: Order) -> dt.datetime | None:
    """Books the next month; when it lapses, if it does."""
    begins, number = month_begins(drip.starts_at, drip.given), drip.given + 1
    ends = drip.ends_at if number == drip.months else month_begins(drip.starts_at, number)
    assert order.plan is not None, order
    assert order.paid_at is not None, order
    lapses = lapses_at(begins, ends, order.paid_at) if drip.resets else None
    nanos = _nanos(drip, order)
    moved = movements.cycle(
        order.paywall,
        order.user.external_id,
        nanos,
        Reason(
            actor=ACTOR,
            reason=f"Plan {order.public_id}",
            ref=f"{order.invoice_id}:month-{number}",
            metadata={"plan": ids.encode("plan", order.plan.pk), "month": number},
        ),
        livemode=order.livemode,
        expires_at=lapses,
    )
    drip.given, drip.given_nanos = number, drip.given_nanos + nanos
    if number == 1:
        order.transaction_id = moved.transaction_id
        order.save(update_fields=["transaction_id"])
    return lapses


def _looks_again(drip: Drip, now: dt.datetime) -> dt.datetime | None:
    """When the next month begins; None when none will, or not as things are."""
    begins = month_begins(drip.starts_at, drip.given)
    is_open = drip.given < drip.months and begins < drip.until
    return begins if is_open and begins > now else None


def _expire(order: Order) -> None:
    """Months that were over before they were given end at once."""
    wallet = EndUser.objects.values_list("wallet_id", flat=True).get(pk=order.user_id)
    with connection.cursor() as cursor:
        cursor.execute("SELECT ledger_lots_expire(%s)", [wallet])


def _now(*, livemode: bool) -> dt.datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT ledger_now(%s)", [livemode])
        (now,) = cursor.fetchone()
    assert isinstance(now, dt.datetime)
    return now
