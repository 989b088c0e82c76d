"""Once an hour: what Stripe has against what we have, by looking at objects, not at events.

So a webhook that never comes delays a credit or a reversal; it loses none.
"""

import datetime as dt
import time
from typing import Final
from uuid import UUID

import structlog
from django.db.models import F, Q, QuerySet

from billing.stripe import client, plans, reversals
from billing.stripe.errors import StripeFailedError, translated
from billing.stripe.fulfil import fulfil
from billing.stripe.models import Order, PlanSubscription, Reversal, StripeAccount
from billing.stripe.naming import id_of, order_named
from config.kit import clock
from config.kit.db import forbid_transaction

log = structlog.get_logger(__name__)

OVERLAP: Final = dt.timedelta(hours=2)
"""Looked at again: clocks differ, and an object may be listed later than it was made."""

FIRST_LOOK: Final = dt.timedelta(days=2)
REFUND_MAY_FAIL: Final = dt.timedelta(days=35)
"""Banks return refunds up to a month later. Source: docs.stripe.com/refunds#failed-refunds."""

DISPUTES_COME: Final = dt.timedelta(days=200)
"""Payments through a key that was replaced are followed for so long: cards may be disputed for 120
days, in some cases from a later day on."""

RUN_S: Final = 300
"""A task has to end; an hour later the next one begins with who was left out."""

ORDERS_MAX: Final = 500
"""Unfinished orders of an account looked at in one run; the oldest first."""

PAGE: Final = 100
SETTLED: Final = frozenset({Order.Status.PAID, Order.Status.QUARANTINED})


def reconcile(account: StripeAccount) -> dict[str, int]:
    """Brings what was paid, given and taken back to Stripe's truth; says how many it saw.

    Raises: StripeFailedError when Stripe cannot be asked; what was done until then stays.
    """
    forbid_transaction()
    began = clock.now()
    since = (account.reconciled_at or began - FIRST_LOOK) - OVERLAP
    seen = {
        "sessions": _sessions(account, since),
        "orders": _unfinished(account, began),
        "invoices": _invoices(account, since) + _subscriptions(account, began),
        "refunds": _refunds(account, since),
        "disputes": _disputes(account, since),
        "reversals": _open_reversals(account),
    }
    StripeAccount.objects.filter(pk=account.pk).update(reconciled_at=began)
    return seen


def reconcile_all() -> int:
    """Every account that may still hear of payments; returns how many were reconciled.

    The one that waits longest comes first, and the next run goes on where the time was over.
    """
    done, ends = 0, time.monotonic() + RUN_S
    recent = clock.now() - DISPUTES_COME
    wanted = Q(is_active=True) | Q(pk__in=_paid_since(recent))
    for account in StripeAccount.objects.filter(wanted).order_by(
        F("reconciled_at").asc(nulls_first=True)
    ):
        if time.monotonic() > ends:
            break
        try:
            log.info("stripe.reconciled", account=account.public_id, **reconcile(account))
            done += 1
        except StripeFailedError as error:
            log.warning("stripe.not_reconciled", account=account.public_id, error=error.code)
        except Exception:  # A mistake of ours with one of them.
            log.exception("stripe.not_reconciled", account=account.public_id)
    return done


def _paid_since(moment: dt.datetime) -> QuerySet[Order, UUID]:
    return Order.objects.filter(created_at__gte=moment).values_list("account", flat=True)


def _sessions(account: StripeAccount, since: dt.datetime) -> int:
    """Sessions that were paid, also those whose id we never learned."""
    seen = 0
    # A session lives for a day before it is paid.
    earliest = int((since - dt.timedelta(days=1)).timestamp())
    with translated():
        listed = client.client_of(account).v1.checkout.sessions.list(
            {"created": {"gte": earliest}, "limit": PAGE, "status": "complete"}
        )
        sessions = [session.to_dict() for session in listed.auto_paging_iter()]
    for session in sessions:
        order = order_named(account, session.get("metadata"))
        if not isinstance(order, Order) or order.status in SETTLED:
            continue
        Order.objects.filter(pk=order.pk, session_id=None).update(session_id=session["id"])
        order.refresh_from_db()
        if order.session_id == session["id"]:
            _fulfil(order, account)
            seen += 1
    return seen


def _unfinished(account: StripeAccount, now: dt.datetime) -> int:
    """Orders that wait: for the payer, a bank, or for news that was lost."""
    waiting = Order.objects.filter(
        Q(session_expires_at__lt=now) | Q(status=Order.Status.PENDING) | Q(session_id=None),
        account=account,
        status__in=[Order.Status.OPEN, Order.Status.PENDING],
    ).exclude(session_id=None, payment_intent_id="")
    orders = list(waiting.select_related("account").order_by("id")[:ORDERS_MAX])
    for order in orders:
        _fulfil(order, account)
    return len(orders)


def _invoices(account: StripeAccount, since: dt.datetime) -> int:
    """Paid cycles of plans."""
    with translated():
        listed = client.client_of(account).v1.invoices.list(
            {"created": {"gte": int(since.timestamp())}, "limit": PAGE, "status": "paid"}
        )
        invoices = [invoice.to_dict() for invoice in listed.auto_paging_iter()]
    ours = [each["id"] for each in invoices if plans.is_ours(account, each)]
    for invoice_id in ours:
        plans.take_invoice(account, invoice_id)
    return len(ours)


def _subscriptions(account: StripeAccount, now: dt.datetime) -> int:
    """Those that should have been renewed or paid by now: their last invoice says."""
    waiting = PlanSubscription.objects.filter(
        Q(current_period_end__lt=now) | Q(status="past_due"),
        account=account,
        status__in=plans.RUNNING,
    )
    names = list(waiting.order_by("updated_at").values_list("subscription_id", flat=True))
    for subscription_id in names[:ORDERS_MAX]:
        with translated():
            found = client.client_of(account).v1.subscriptions.retrieve(subscription_id)
        if latest := id_of(found.to_dict().get("latest_invoice")):
            plans.take_invoice(account, latest)
    return len(names)


def _fulfil(order: Order, account: StripeAccount) -> None:
    """Raises: StripeFailedError."""
    before, after = order.status, fulfil(order, account).status
    if after != before:
        log.warning("order.reconciled", order=order.public_id, was=before, now=after)


def _refunds(account: StripeAccount, since: dt.datetime) -> int:
    with translated():
        listed = client.client_of(account).v1.refunds.list(
            {"created": {"gte": int(since.timestamp())}, "limit": PAGE}
        )
        found = [refund.to_dict() for refund in listed.auto_paging_iter()]
    outcomes = [reversals.take_refund(account, refund) for refund in found]
    return sum(outcome.state == "done" for outcome in outcomes)


def _disputes(account: StripeAccount, since: dt.datetime) -> int:
    with translated():
        listed = client.client_of(account).v1.disputes.list(
            {"created": {"gte": int(since.timestamp())}, "limit": PAGE}
        )
        found = [dispute.to_dict() for dispute in listed.auto_paging_iter()]
    outcomes = [reversals.take_dispute(account, dispute) for dispute in found]
    return sum(outcome.state == "done" for outcome in outcomes)


def _open_reversals(account: StripeAccount) -> int:
    """Refunds that may yet fail, and disputes that are not over: each asked for by its id."""
    recent = clock.now() - REFUND_MAY_FAIL
    refunds = Q(kind=Reversal.Kind.REFUND, created_at__gte=recent)
    refunds &= ~Q(status__in=reversals.UNDONE)
    disputes = Q(kind=Reversal.Kind.DISPUTE) & ~Q(status__in=reversals.ENDED)
    rows = list(Reversal.objects.filter(refunds | disputes, account=account).order_by("id"))
    v1 = client.client_of(account).v1
    for row in rows:
        with translated():
            if row.kind == Reversal.Kind.REFUND:
                thing = v1.refunds.retrieve(row.object_id).to_dict()
            else:
                thing = v1.disputes.retrieve(row.object_id).to_dict()
        take = reversals.take_refund if row.kind == "refund" else reversals.take_dispute
        take(account, thing)
    return len(rows)
