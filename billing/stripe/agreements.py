"""Consent to automatic top-ups: given, followed, ended. The rows say what may be charged.

Nothing here talks to Stripe. What changes an agreement locks it first, so that a worker, an event
and a click follow each other; the clock is the database's.
"""

import datetime as dt
from typing import Final

import structlog
from django.db import transaction
from django.db.models.functions import Now

from billing.stripe.models import Customer, Order
from billing.stripe.refill_models import RefillAgreement
from billing.stripe.refill_words import WORDING, Wish, words_of
from config.kit.db import require_transaction

log = structlog.get_logger(__name__)

DECLINES_MAX: Final = 2
"""So many in a row, and the card is left alone."""

DECLINED_AGAIN: Final = dt.timedelta(hours=1)
"""After a decline it is tried once more, this much later."""

Status = RefillAgreement.Status


def live_of(customer: Customer | None) -> RefillAgreement | None:
    """The agreement that waits for a card, or is in force."""
    found = customer and RefillAgreement.objects.filter(customer=customer)
    return found.exclude(status=Status.OFF).first() if found else None


def last_trouble(customer: Customer | None) -> str:
    """Why the last agreement ended, where that was not the person's wish."""
    found = customer and RefillAgreement.objects.filter(customer=customer).order_by("-id").first()
    return found.trouble if found else ""


def agree(
    customer: Customer, wish: Wish, *, page: str, address: str | None, uses_saved_card: bool
) -> RefillAgreement:
    """Keeps what the person agreed to, in the place of what they had agreed to before.

    In force at once with the saved card, else when a card is saved for it. `customer.user.paywall`
    is loaded.
    """
    paywall = customer.user.paywall
    with transaction.atomic():
        Customer.objects.select_for_update(no_key=True).get(pk=customer.pk)
        for old in RefillAgreement.objects.filter(customer=customer).exclude(status=Status.OFF):
            _end(lock(old))
        return RefillAgreement.objects.create(
            customer=customer,
            below_nanos=wish.below_nanos,
            amount_nanos=wish.amount_nanos,
            month_most_nanos=wish.month_most_nanos,
            words=words_of(wish, name=paywall.name, currency=paywall.currency),
            wording=WORDING,
            page=page,
            address=address,
            agreed_at=Now(),
            status=Status.ON if uses_saved_card else Status.WAITING,
            due_at=Now() if uses_saved_card else None,
        )


def switch_off(customer: Customer) -> None:
    """The person does not want it any more. An order that is under way is still followed."""
    with transaction.atomic():
        Customer.objects.select_for_update(no_key=True).get(pk=customer.pk)
        for row in RefillAgreement.objects.filter(customer=customer).exclude(status=Status.OFF):
            _end(lock(row))


def card_kept(customer: Customer, *, method_id: str, brand: str, last_four: str) -> str:
    """A card was saved: whoever waited for it has automatic top-ups from now on.

    The caller's transaction. Returns the card that was there before and is not needed any more.
    """
    require_transaction()
    row = Customer.objects.select_for_update(no_key=True).get(pk=customer.pk)
    before, row.payment_method_id = row.payment_method_id, method_id
    row.card_brand, row.card_last_four = brand[:32], last_four[:4]
    row.save(update_fields=["payment_method_id", "card_brand", "card_last_four"])
    RefillAgreement.objects.filter(customer=row, status=Status.WAITING).update(
        status=Status.ON, due_at=Now()
    )
    return before if before != method_id else ""


def card_gone(customer: Customer, method_id: str, *, trouble: str = "") -> None:
    """The saved card is not there any more, and so nothing may be charged. Nothing if it is
    another one by now.
    """
    with transaction.atomic():
        row = Customer.objects.select_for_update(no_key=True).get(pk=customer.pk)
        if row.payment_method_id != method_id:
            return
        row.payment_method_id = row.card_brand = row.card_last_four = ""
        row.save(update_fields=["payment_method_id", "card_brand", "card_last_four"])
        for each in RefillAgreement.objects.filter(customer=row, status=Status.ON):
            _end(lock(each), trouble)


def paid(order: Order) -> None:
    """An automatic top-up was paid: declines begin anew, and the balance is looked at again. The
    caller's transaction.
    """
    require_transaction()
    assert order.agreement_id, order
    mine = RefillAgreement.objects.filter(pk=order.agreement_id, status=Status.ON)
    mine.update(declines=0, due_at=Now())


def declined(order: Order, reason: str) -> None:
    """The card was declined: once more later, then never again. The caller's transaction."""
    require_transaction()
    assert order.agreement_id, order
    row = RefillAgreement.objects.select_for_update(no_key=True).get(pk=order.agreement_id)
    row.declines += 1
    row.save(update_fields=["declines"])
    log.warning("refill.declined", agreement=row.public_id, declines=row.declines)
    if row.status != Status.ON:
        return
    if row.declines >= DECLINES_MAX:
        _end(row, f"The card was declined {row.declines} times: {reason}")
    else:
        RefillAgreement.objects.filter(pk=row.pk).update(due_at=Now() + DECLINED_AGAIN)


def stop(agreement: RefillAgreement, trouble: str) -> None:
    """It cannot go on; the page says why, and the owners are told."""
    with transaction.atomic():
        _end(lock(agreement), trouble)


def later(agreement: RefillAgreement, wait: dt.timedelta | dt.datetime | None) -> None:
    """When a worker looks again: so much later, at a moment, or (None) when the balance moves,
    unless it has moved since the agreement was read.
    """
    mine = RefillAgreement.objects.filter(pk=agreement.pk)
    if wait is None:
        mine.filter(due_at=agreement.due_at).update(due_at=None)
    else:
        mine.update(due_at=Now() + wait if isinstance(wait, dt.timedelta) else wait)


def lock(agreement: RefillAgreement) -> RefillAgreement:
    """The row as it is now, until the transaction ends."""
    return RefillAgreement.objects.select_for_update(no_key=True).get(pk=agreement.pk)


def _end(row: RefillAgreement, trouble: str = "") -> None:
    """An open order keeps its worker: what Stripe may have taken is credited."""
    require_transaction()
    if row.status == Status.OFF:
        return
    if trouble:
        log.warning("refill.stopped", agreement=row.public_id, trouble=trouble)
    has_open = row.orders.filter(status__in=(Order.Status.OPEN, Order.Status.PENDING)).exists()
    RefillAgreement.objects.filter(pk=row.pk).update(
        status=Status.OFF,
        trouble=trouble[:200],
        ended_at=Now(),
        due_at=Now() if has_open else None,
    )
