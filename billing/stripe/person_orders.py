"""People pay the operator for wallets of their own: an order, Stripe's page, credit once.

What Stripe says of a session decides, judged as for a paywall's orders; what refunds and disputes
have taken of its payment is asked for as a whole and the difference is booked, so that order,
repetition and lost news make no difference.
"""

import datetime as dt
import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, cast

import orjson
import structlog
from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q

from billing import movements, persons
from billing.movements import Reason
from billing.stripe import amounts
from billing.stripe.errors import translated
from billing.stripe.fulfil import Payment, judge, of_session
from billing.stripe.models import Order
from billing.stripe.person_models import PersonOrder
from billing.stripe.platform import PERSON_ORDER, client
from billing.stripe.reversals import UNDONE, withdrawn_minor
from config.kit import clock, ids
from config.kit.db import forbid_transaction
from config.kit.errors import InvalidRequestError, PaywallsError
from config.kit.money import NANOS, format_nanos
from paywalls.models import Person

if TYPE_CHECKING:
    from stripe.params.checkout import SessionCreateParams

log = structlog.get_logger(__name__)

ACTOR: Final = "stripe"
BOOKED: Final = (
    *("transaction_id", "paid_at", "status", "reason", "paid_minor"),
    *("payment_intent_id", "receipt_url", "next_at"),
)
Status = Order.Status
SESSION_LIVES: Final = dt.timedelta(hours=20)
"""An open one that is older is not used again: Stripe ends it after a day."""

ASK_AGAIN: Final = dt.timedelta(minutes=10)
DUE_MAX: Final = 50
RECENT: Final = dt.timedelta(days=3)
PAGE: Final = 100


def start(person: Person, amount_nanos: int, *, livemode: bool) -> PersonOrder:
    """An order that can be paid at its `session_url`; or one that was paid just now.

    Raises: InvalidRequestError; PayoutsUnavailableError, StripeFailedError.
    """
    forbid_transaction()
    currency = settings.PLATFORM_CURRENCY
    minor = amounts.to_minor(amount_nanos, currency)
    _check_ceiling(person, amount_nanos, livemode=livemode)
    known = (
        PersonOrder.objects.filter(person=person, livemode=livemode, price_minor=minor)
        .filter(status=Status.OPEN, created_at__gt=clock.now() - SESSION_LIVES)
        .order_by("-id")
        .first()
    )
    if known is not None and known.session_id:
        known = follow(known)
        if known.status in (Status.OPEN, Status.PAID, Status.PENDING):
            return known
        known = None
    return _open(
        known
        or PersonOrder.objects.create(
            person=person,
            livemode=livemode,
            price_minor=minor,
            currency=currency,
            credit_nanos=amount_nanos,
        )
    )


def follow(order: PersonOrder) -> PersonOrder:
    """Brings the order, and the wallet, to where Stripe says they are. The row afterwards.

    Raises: PayoutsUnavailableError, StripeFailedError when Stripe cannot be asked.
    """
    forbid_transaction()
    order = PersonOrder.objects.get(pk=order.pk)
    if not order.session_id:
        return order
    v1 = client(livemode=order.livemode).v1
    with translated():
        session = v1.checkout.sessions.retrieve(
            order.session_id, {"expand": ["payment_intent.latest_charge"]}
        ).to_dict()
    named = (session.get("metadata") or {}).get(PERSON_ORDER, "")
    payment = replace(of_session(session), paywall=order.payee, order=named)
    status, reason = judge(order, payment)
    if status == Status.PAID:
        taken = _taken_minor(v1, payment.payment_intent_id)
        try:
            return _book(order, payment, taken)
        except PaywallsError as error:
            status, reason = Status.QUARANTINED, f"it could not be booked: {error.message}"
    return _mark(order, status, reason, payment)


def follow_due() -> int:
    """Asks about every order of which there may be news; returns how many."""
    due = PersonOrder.objects.filter(next_at__lte=clock.now()).order_by("next_at")[:DUE_MAX]
    for order in due:
        try:
            follow(order)
        except PaywallsError as error:
            log.warning("person_order.waits", order=str(order), error=error.code)
            PersonOrder.objects.filter(pk=order.pk).update(next_at=clock.now() + ASK_AGAIN)
    return len(due)


def reconcile(*, livemode: bool) -> int:
    """Finds refunds and disputes whose news were lost; returns how many orders are asked about.

    Raises: PayoutsUnavailableError, StripeFailedError.
    """
    v1: Any = client(livemode=livemode).v1
    since = {"created": {"gte": int((clock.now() - RECENT).timestamp())}, "limit": PAGE}
    with translated():
        found = [
            each.to_dict().get("payment_intent")
            for things in (v1.refunds, v1.disputes)
            for each in things.list(since).auto_paging_iter()
        ]
    named = [each["id"] if isinstance(each, dict) else each for each in found if each]
    rows = PersonOrder.objects.filter(livemode=livemode, payment_intent_id__in=named)
    return rows.update(next_at=clock.now())


def nudge(*, order: str, payment: str) -> None:
    """Somebody heard news of an order, or of a payment: it is asked about next."""
    about = Q()
    if order_id := ids.decode("ord", order):
        about |= Q(pk=order_id)
    if payment:
        about |= Q(payment_intent_id=payment)
    if about:
        PersonOrder.objects.filter(about).update(next_at=clock.now())


def refund(order: PersonOrder, amount_nanos: int, *, actor: str) -> PersonOrder:
    """Gives money that was not spent back to where it was paid from: out of the wallet first, so
    that it is not spent meanwhile. Where Stripe refuses, it is put back.

    Raises: InvalidRequestError; PayoutsUnavailableError, StripeFailedError.
    """
    forbid_transaction()
    minor = amounts.to_minor(amount_nanos, order.currency, least=1)
    v1: Any = client(livemode=order.livemode).v1
    with transaction.atomic():
        row = _locked(order)
        purse = persons.purse(row.person_id, livemode=row.livemode, currency=row.currency)
        most = min(row.credit_nanos - row.taken_nanos, purse.free_nanos)
        if row.status != Status.PAID or amount_nanos > most:
            raise InvalidRequestError(
                f"{format_nanos(max(most, 0))} of it can be refunded.", param="amount"
            )
        _take(row, row.taken_nanos + amount_nanos, actor)
    try:
        with translated():
            v1.refunds.create(
                {
                    "payment_intent": row.payment_intent_id,
                    "amount": minor,
                    "metadata": {PERSON_ORDER: row.public_id, "paywalls_actor": actor},
                },
                {"idempotency_key": f"person-refund:{row.pk}:{row.steps}"},
            )
    finally:
        PersonOrder.objects.filter(pk=row.pk).update(next_at=clock.now())
    return follow(row)


def _open(order: PersonOrder) -> PersonOrder:
    """With Stripe's page. Raises: PayoutsUnavailableError, StripeFailedError."""
    metadata = {PERSON_ORDER: order.public_id}
    page = f"{settings.BASE_URL}/wallet/topup"
    wanted = {
        "mode": "payment",
        "client_reference_id": order.public_id,
        "line_items": [
            {
                "quantity": 1,
                "price_data": {
                    "currency": order.currency.lower(),
                    "unit_amount": order.price_minor,
                    "product_data": {"name": "Wallet"},
                },
            }
        ],
        "metadata": metadata,
        "payment_intent_data": {"metadata": metadata, "description": order.public_id},
        "submit_type": "pay",
        "success_url": f"{page}/{order.public_id}",
        "cancel_url": page,
        "adaptive_pricing": {"enabled": False},
    }
    sessions = client(livemode=order.livemode).v1.checkout.sessions
    # Stripe repeats a failure under its key; a session that nobody saw is paid by nobody.
    PersonOrder.objects.filter(pk=order.pk).update(attempt=F("attempt") + 1)
    order.refresh_from_db()
    with translated():
        session = sessions.create(
            cast("SessionCreateParams", wanted),
            {"idempotency_key": f"person-order:{order.pk}:{order.attempt}"},
        )
    PersonOrder.objects.filter(pk=order.pk, session_id=None).update(
        session_id=session.id,
        session_url=session.url or "",
        next_at=clock.now() + ASK_AGAIN,
    )
    order.refresh_from_db()
    return order


def _check_ceiling(person: Person, amount_nanos: int, *, livemode: bool) -> None:
    if not settings.WALLET_MOST:
        return
    purse = persons.purse(person.pk, livemode=livemode, currency=settings.PLATFORM_CURRENCY)
    most = settings.WALLET_MOST * NANOS - purse.posted_nanos
    if amount_nanos > most:
        shown = amounts.shown(max(most, 0), settings.PLATFORM_CURRENCY)
        raise InvalidRequestError(
            f"A wallet holds at most {settings.WALLET_MOST}; you can add {shown}.", param="amount"
        )


def _taken_minor(v1: Any, payment_intent_id: str) -> int:
    """What refunds and disputes have taken of a payment, now."""
    asked = {"payment_intent": payment_intent_id, "limit": PAGE}
    with translated():
        refunds = [each.to_dict() for each in v1.refunds.list(asked).auto_paging_iter()]
        disputes = [each.to_dict() for each in v1.disputes.list(asked).auto_paging_iter()]
    given = sum(each["amount"] for each in refunds if each["status"] not in UNDONE)
    return int(given + sum(withdrawn_minor(each) for each in disputes))


def _book(order: PersonOrder, payment: Payment, taken_minor: int) -> PersonOrder:
    """Credits once, and takes what Stripe has taken since. Raises: PaywallsError."""
    with transaction.atomic():
        row = _locked(order)
        if row.status != Status.PAID:
            moved = movements.credit_person(
                row.person_id,
                row.credit_nanos,
                Reason(actor=ACTOR, reason=f"Top-up {row}", ref=payment.ref),
                kind="topup",
                livemode=row.livemode,
                currency=row.currency,
            )
            row.transaction_id, row.paid_at = moved.transaction_id, clock.now()
            row.status, row.reason = Status.PAID, ""
            row.paid_minor = payment.total_minor
            row.payment_intent_id = payment.payment_intent_id
            row.receipt_url = payment.receipt_url
        whole = row.paid_minor or row.price_minor
        taken = amounts.share(row.credit_nanos, min(taken_minor, whole), whole)
        row.next_at = None
        if row.steps == order.steps:
            _take(row, taken, ACTOR)
        else:
            row.next_at = clock.now()  # Somebody booked what is newer than our question.
        row.save(update_fields=BOOKED)
    return row


def _take(row: PersonOrder, taken_nanos: int, actor: str) -> None:
    """Books the difference to what was taken so far; the caller's transaction holds the row."""
    if taken_nanos == row.taken_nanos:
        return
    row.steps += 1
    movement = {
        "id": ids.uuid7(),
        "ref": f"{row.pk}:{row.steps}",
        "print": hashlib.sha256(str(taken_nanos).encode()).hexdigest(),
        "person": row.person_id,
        "cur": row.currency,
        "live": row.livemode,
        "amount": taken_nanos - row.taken_nanos,
        "actor": actor,
        "reason": f"Refund or dispute of {row}",
    }
    with connection.cursor() as cursor:
        text = orjson.dumps(movement).decode()
        cursor.execute("SELECT billing_person_reverse(%s::jsonb)", [text])
    row.taken_nanos = taken_nanos
    row.save(update_fields=["taken_nanos", "steps"])


def _mark(order: PersonOrder, status: Status, reason: str, payment: Payment) -> PersonOrder:
    """A status that moves no money; one that was paid stays so."""
    if status == Status.QUARANTINED:
        log.error("person_order.quarantined", order=str(order), reason=reason)
    with transaction.atomic():
        row = _locked(order)
        if row.status == Status.PAID:
            return row
        row.status, row.reason = status, reason[:300]
        row.payment_intent_id = payment.payment_intent_id or row.payment_intent_id
        is_open = status in (Status.OPEN, Status.PENDING)
        row.next_at = clock.now() + ASK_AGAIN if is_open else None
        row.save(update_fields=["status", "reason", "payment_intent_id", "next_at"])
    return row


def _locked(order: PersonOrder) -> PersonOrder:
    rows = PersonOrder.objects.select_for_update(no_key=True, of=("self",))
    return rows.select_related("person").get(pk=order.pk)
