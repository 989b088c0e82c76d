"""Automatic top-ups: a balance fell below what its user agreed to, and the saved card is charged.

The order exists before Stripe hears of it and names the payment for ever, so whoever goes on after
a crash finds out what became of it; what was paid is booked by `fulfil`, as every order is.
"""

import datetime as dt
from typing import TYPE_CHECKING, Any, Final, cast

import stripe
import structlog
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from billing.stripe import agreements, amounts, client, orders, pace, refill_rules, stops
from billing.stripe.checkout import is_stored
from billing.stripe.errors import (
    CardDeclinedError,
    StripeBusyError,
    StripeFailedError,
    StripeKeyError,
    StripeRefusedError,
    translated,
)
from billing.stripe.fulfil import fulfil
from billing.stripe.models import Order
from billing.stripe.naming import ORDER, id_of, metadata_of
from billing.stripe.refill_models import RefillAgreement
from billing.stripe.refill_rules import BUSY, CLOSED, UNFINISHED, Obstacle
from config.kit.db import forbid_transaction

if TYPE_CHECKING:
    from stripe.params import PaymentIntentCreateParams

log = structlog.get_logger(__name__)

LEASE: Final = dt.timedelta(minutes=5)
"""Longer than all calls of one run: who takes an agreement after this took it from the dead."""

BATCH_MAX: Final = 100
LOOK_BACK_MAX: Final = 100
"""Payments of a customer among which one is looked for whose answer was lost."""


def run_due() -> int:
    """Follows agreements until none is due, or Stripe does not answer; returns how many.

    One worker at a time: where Stripe hangs, the others are there for everything else.
    """
    forbid_transaction()
    done = 0
    while done < BATCH_MAX and (agreement := _claim()):
        answers = run(agreement)
        RefillAgreement.objects.filter(pk=agreement.pk).update(leased_until=None)
        done += 1
        if not answers:
            break
    return done


def run(agreement: RefillAgreement) -> bool:
    """One step for one agreement: the order that is under way, or a new one if it is time.

    agreement: with its customer, account, paywall and user. False where Stripe does not answer.
    """
    forbid_transaction()
    try:
        order = _under_way(agreement)
        if order is None:
            order = _order(agreement)
        elif not order.payment_intent_id and _is_given_up(agreement, order):
            return True
        if order is not None:
            _follow(agreement, order)
    except StripeKeyError as error:
        stops.note_trouble(agreement.customer.account, error)
        agreements.later(agreement, CLOSED)
    except StripeFailedError as error:
        log.warning("refill.waits", agreement=agreement.public_id, error=error.code)
        agreements.later(agreement, BUSY)
        return False
    return True


def _claim() -> RefillAgreement | None:
    """The agreement that waits longest, for a lease; None while another worker has one."""
    if RefillAgreement.objects.filter(leased_until__gt=Now()).exists():
        return None
    with transaction.atomic():
        found = (
            RefillAgreement.objects.select_for_update(skip_locked=True, no_key=True, of=("self",))
            .select_related("customer__account__paywall", "customer__user")
            .filter(due_at__lte=Now())
            .order_by("due_at")
            .first()
        )
        if found is not None:
            ends = Now() + LEASE
            RefillAgreement.objects.filter(pk=found.pk).update(due_at=ends, leased_until=ends)
            found.refresh_from_db(fields=["due_at"])
    return found


def _under_way(agreement: RefillAgreement) -> Order | None:
    """The user's open order, if there is one; with its payment, if Stripe knows of it.

    Raises: StripeFailedError.
    """
    mine = Order.objects.filter(kind=Order.Kind.REFILL, user=agreement.customer.user_id)
    found = mine.filter(status__in=UNFINISHED).first()
    if found is None:
        return None
    order = orders.find(found.pk)
    if not order.payment_intent_id and (intent_id := _lost(agreement, order)):
        _name(order, intent_id)
    return order


def _order(agreement: RefillAgreement) -> Order | None:
    """A new order, if everything still says so; else None, and the agreement waits or ends."""
    with transaction.atomic():
        now, obstacle = _look(agreement)
        if obstacle is not None:
            _heed(agreement, obstacle)
            return None
        account, user = agreement.customer.account, agreement.customer.user
        made = Order.objects.create(
            paywall=account.paywall,
            user=user,
            account=account,
            livemode=account.livemode,
            kind=Order.Kind.REFILL,
            agreement=agreement,
            price_minor=amounts.to_minor(agreement.amount_nanos, account.paywall.currency),
            currency=account.paywall.currency,
            credit_nanos=agreement.amount_nanos,
            created_at=now,
        )
    return orders.find(made.pk)


def _is_given_up(agreement: RefillAgreement, order: Order) -> bool:
    """Whether an order of which Stripe never heard is not wanted any more: then it is canceled."""
    with transaction.atomic():
        _, obstacle = _look(agreement, known=order)
        if obstacle is None:
            return False
        Order.objects.filter(pk=order.pk, payment_intent_id="").update(
            status=Order.Status.CANCELED, reason="not wanted any more"
        )
        _heed(agreement, obstacle)
    return True


def _look(
    agreement: RefillAgreement, known: Order | None = None
) -> tuple[dt.datetime, Obstacle | None]:
    """The database's time, and what stands against a top-up. Locks the agreement."""
    locked = agreements.lock(agreement)
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (now,) = cursor.fetchone()
    facts = refill_rules.facts_of(locked, now, known=known)
    return now, refill_rules.obstacle(facts)


def _heed(agreement: RefillAgreement, obstacle: Obstacle) -> None:
    if obstacle.trouble:
        agreements.stop(agreement, obstacle.trouble)
    else:
        agreements.later(agreement, obstacle.wait)


def _follow(agreement: RefillAgreement, order: Order) -> None:
    """Raises: StripeFailedError."""
    if not order.payment_intent_id:
        _pay(agreement, order)
    if order.status == Order.Status.OPEN:
        order = fulfil(order)
    match order.status:
        case Order.Status.PENDING | Order.Status.OPEN:
            agreements.later(agreement, CLOSED)
        case Order.Status.QUARANTINED:
            agreements.stop(agreement, "A payment differs from what was ordered.")


def _pay(agreement: RefillAgreement, order: Order) -> None:
    """Charges the card, once under the order's own key. What the bank says, `fulfil` asks for.

    Raises: StripeFailedError when it is not known, or not to be known yet.
    """
    pace.take(order.account)
    intents = client.client_of(order.account).v1.payment_intents
    wanted: dict[str, Any] = {
        "amount": order.price_minor,
        "currency": order.currency.lower(),
        "customer": agreement.customer.customer_id,
        "payment_method": agreement.customer.payment_method_id,
        "allowed_payment_method_types": ["card"],
        "off_session": True,
        "confirm": True,
        "description": order.public_id,
        "metadata": metadata_of(order),
    }
    try:
        with translated():
            made = intents.create(
                cast("PaymentIntentCreateParams", wanted),
                {"idempotency_key": f"refill:{order.pk}:{order.attempt}"},
            )
        _name(order, made.id)
    except CardDeclinedError as error:
        _name(order, _intent_of(error))
    except StripeRefusedError as error:
        if isinstance(error.__cause__, stripe.IdempotencyError):
            _try_anew(order, error)
            raise
        _refuse(agreement, order, error)
    except StripeBusyError as error:
        _try_anew(order, error)
        raise


def _try_anew(order: Order, error: StripeFailedError) -> None:
    """The next call needs another key, once this one only answers with its failure."""
    if is_stored(error):
        Order.objects.filter(pk=order.pk, attempt=order.attempt).update(attempt=F("attempt") + 1)


def _refuse(agreement: RefillAgreement, order: Order, error: StripeFailedError) -> None:
    """Stripe takes nothing with this card: it is gone, or belongs to nobody."""
    with transaction.atomic():
        agreements.stop(agreement, error.message)
        Order.objects.filter(pk=order.pk, status=Order.Status.OPEN).update(
            status=Order.Status.FAILED, reason=error.message[:300]
        )
    order.status = Order.Status.FAILED


def _intent_of(error: CardDeclinedError) -> str:
    """The payment that was declined."""
    cause = error.__cause__
    assert isinstance(cause, stripe.CardError), cause
    body = cast("dict[str, Any]", cause.json_body or {})
    return id_of(body["error"]["payment_intent"])


def _name(order: Order, intent_id: str) -> None:
    Order.objects.filter(pk=order.pk, payment_intent_id="").update(payment_intent_id=intent_id)
    order.payment_intent_id = intent_id


def _lost(agreement: RefillAgreement, order: Order) -> str:
    """The order's payment, if it was made although nobody heard the answer; else empty.

    Raises: StripeFailedError.
    """
    since = int(order.created_at.timestamp()) - 60
    with translated():
        listed = client.client_of(order.account).v1.payment_intents.list(
            {
                "customer": agreement.customer.customer_id,
                "created": {"gte": since},
                "limit": LOOK_BACK_MAX,
            }
        )
    for intent in listed.data:
        if (intent.to_dict().get("metadata") or {}).get(ORDER) == order.public_id:
            return intent.id
    return ""
