"""Refunds and disputes: the ledger follows what Stripe gave back or had taken from it.

Each is known by its own id and says how much of the payment it stands for now. After any change
all those of one order are computed again (`amounts.shares`) and the differences are booked, so
that order, repetition and failed ones make no difference to the sum.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

import structlog
from django.db import transaction
from django.db.models import F, Sum
from django.db.models.functions import Now

from billing import movements
from billing.movements import Reason
from billing.stripe import amounts, client
from billing.stripe.errors import translated
from billing.stripe.handlers import Outcome
from billing.stripe.models import Customer, Drip, InboxEvent, Order, Reversal, StripeAccount
from billing.stripe.naming import id_of, metadata_of, of_account, order_named
from billing.webhooks import outbox
from billing.webhooks.events import Event
from config.kit import clock
from config.kit.db import forbid_transaction, require_transaction
from config.kit.errors import InvalidRequestError
from config.kit.money import ceil_div

if TYPE_CHECKING:
    from stripe.params import RefundCreateParams

log = structlog.get_logger(__name__)

ACTOR: Final = "stripe"
UNDONE: Final = frozenset({"failed", "canceled"})
"""Refunds in these states gave nothing back."""

REF: Final = "paywalls_ref"
REF_CHARS_MAX: Final = 100
REFUNDABLE: Final = frozenset({Order.Status.PAID, Order.Status.QUARANTINED})
ENDED: Final = frozenset({"won", "lost", "warning_closed"})
TOLD: Final = {"won": "paywall.dispute.won", "lost": "paywall.dispute.lost"}


def on_refund(event: InboxEvent) -> Outcome:
    """A refund was made, changed or failed. `charge.refunded` names the charge: all of its refunds.

    Raises: StripeFailedError.
    """
    v1 = client.client_of(event.account).v1
    with translated():
        if event.type == "charge.refunded":
            listed = v1.refunds.list({"charge": event.object_id, "limit": 100})
            found = [refund.to_dict() for refund in listed.auto_paging_iter()]
        else:
            found = [v1.refunds.retrieve(event.object_id).to_dict()]
    outcomes = [take_refund(event.account, refund) for refund in found]
    return next((each for each in outcomes if each.state != "ignored"), Outcome("ignored", "none"))


def on_dispute(event: InboxEvent) -> Outcome:
    """A dispute came to one of its five moments.

    Raises: StripeFailedError.
    """
    with translated():
        dispute = client.client_of(event.account).v1.disputes.retrieve(event.object_id)
    return take_dispute(event.account, dispute.to_dict())


def on_warning(event: InboxEvent) -> Outcome:
    """The bank suspects fraud: noted with the order. A refund now would avoid the dispute.

    Raises: StripeFailedError.
    """
    with translated():
        warning = client.client_of(event.account).v1.radar.early_fraud_warnings.retrieve(
            event.object_id
        )
    order = _find(event.account, id_of(warning.to_dict().get("payment_intent")))
    if not isinstance(order, Order):
        return order or Outcome("ignored", "a plan's payment")
    Order.objects.filter(pk=order.pk, warned_at=None).update(warned_at=clock.now())
    log.warning("order.fraud_warning", order=order.public_id)
    return Outcome("done", f"noted with {order.public_id}")


def take_refund(account: StripeAccount, refund: Mapping[str, Any]) -> Outcome:
    """Books a refund as it stands now. Raises: StripeFailedError."""
    amount = 0 if refund["status"] in UNDONE else refund["amount"]
    return _take(account, refund, Reversal.Kind.REFUND, amount)


def take_dispute(account: StripeAccount, dispute: Mapping[str, Any]) -> Outcome:
    """Books a dispute as it stands now. Raises: StripeFailedError."""
    return _take(account, dispute, Reversal.Kind.DISPUTE, withdrawn_minor(dispute))


def withdrawn_minor(dispute: Mapping[str, Any]) -> int:
    """How much of the payment a dispute keeps from the developer now.

    Its movements may be in the currency of the developer's bank, so they only say which part.
    """
    if dispute["status"] in ("won", "warning_closed"):
        return 0
    moves = [move["amount"] for move in dispute.get("balance_transactions") or []]
    out = -min(moves, default=0)
    if out <= 0:
        return 0
    kept = min(max(-sum(moves), 0), out)
    return ceil_div(dispute["amount"] * kept, out)


def settle(order: Order) -> None:
    """Books what the order's reversals have come to. The caller's transaction holds its row.

    Those that came before the payment was known are taken up here.
    """
    require_transaction()
    if order.payment_intent_id:
        Reversal.objects.filter(
            account=order.account_id, payment_intent_id=order.payment_intent_id, order=None
        ).update(order=order)
    if order.status != Order.Status.PAID or not order.paid_minor:
        return  # They wait for the payment.
    if order.transaction_id is None:
        return  # Nothing was credited: a plan's credit comes with its invoices.
    rows = list(order.reversals.select_for_update(no_key=True).order_by("id"))
    parts = [row.amount_minor for row in rows]
    drip = Drip.objects.filter(order=order).first()
    spare = order.credit_nanos - drip.given_nanos if drip else 0
    paid = amounts.shares(order.credit_nanos, parts, order.paid_minor, spare_nanos=spare)
    bonuses = amounts.shares(order.bonus_nanos, parts, order.paid_minor)
    for row, credit, bonus in zip(rows, paid, bonuses, strict=True):
        if (credit + bonus, bonus) != (row.booked_nanos, row.booked_bonus_nanos):
            _book(order, row, credit, bonus)
    Drip.objects.filter(order=order, given__lt=F("months"), next_at=None).update(next_at=Now())


def standing(order: Order) -> int:
    """How much of the order's credit is not paid for any more. Nanos."""
    taken = order.reversals.aggregate(sum=Sum("amount_minor"))["sum"] or 0
    if not order.paid_minor:
        return 0
    return amounts.share(order.credit_nanos, min(taken, order.paid_minor), order.paid_minor)


def refund(order: Order, amount_minor: int | None, *, actor: str, ref: str = "") -> Reversal:
    """Gives (part of) a payment back to where it came from; None: what is left of it.

    The same `ref` refunds once, for ever; without one, the same call while nothing has changed.
    Raises: InvalidRequestError; StripeFailedError.
    """
    forbid_transaction()
    if not order.payment_intent_id or order.status not in REFUNDABLE:
        raise InvalidRequestError("Nothing was paid for this order.", param="order")
    if len(ref) > REF_CHARS_MAX:
        raise InvalidRequestError(f"At most {REF_CHARS_MAX} characters.", param="ref")
    made = (ref and _made(order, ref)) or _make(order, amount_minor, actor, ref)
    take_refund(order.account, made)
    row = Reversal.objects.get(account=order.account, object_id=made["id"])
    if not row.requested_by:
        row.requested_by = actor[:100]
        row.save(update_fields=["requested_by"])
    return row


def _made(order: Order, ref: str) -> dict[str, Any] | None:
    """The refund that was made under this reference: Stripe forgets idempotency keys in a day."""
    with translated():
        listed = client.client_of(order.account).v1.refunds.list(
            {"payment_intent": order.payment_intent_id, "limit": 100}
        )
        found = [refund.to_dict() for refund in listed.auto_paging_iter()]
    return next((each for each in found if (each.get("metadata") or {}).get(REF) == ref), None)


def _make(order: Order, amount_minor: int | None, actor: str, ref: str) -> dict[str, Any]:
    """Raises: StripeFailedError."""
    standing = order.reversals.aggregate(sum=Sum("amount_minor"))["sum"] or 0
    params: dict[str, Any] = {
        "payment_intent": order.payment_intent_id,
        "metadata": metadata_of(order) | {"paywalls_actor": actor, REF: ref},
    }
    if amount_minor is not None:
        params["amount"] = amount_minor
    key = f"refund:{order.pk}:{ref or standing}:{amount_minor or 'rest'}"
    with translated():
        made = client.client_of(order.account).v1.refunds.create(
            cast("RefundCreateParams", params), {"idempotency_key": key}
        )
    return made.to_dict()


def _take(
    account: StripeAccount, thing: Mapping[str, Any], kind: Reversal.Kind, amount_minor: int
) -> Outcome:
    forbid_transaction()
    intent_id = id_of(thing.get("payment_intent"))
    found = _find(account, intent_id)
    if isinstance(found, Outcome):
        return found
    if found and thing["currency"].upper() != found.currency:
        return Outcome("quarantined", f"{thing['id']} is in {thing['currency']}")
    with transaction.atomic():
        order = found and _locked(found)
        # Two keys of one Stripe account both hear of it: it is kept once, with the order's.
        row, is_new = Reversal.objects.select_for_update(no_key=True).get_or_create(
            account=order.account if order else account,
            object_id=thing["id"],
            defaults={
                "kind": kind,
                "order": order,
                "payment_intent_id": intent_id,
                "status": thing["status"],
                "amount_minor": amount_minor,
            },
        )
        was = "" if is_new else row.status
        if was in ENDED | UNDONE and thing["status"] not in ENDED | UNDONE:
            return Outcome("done", "what is known is newer")
        row.order, row.status, row.amount_minor = order, thing["status"], amount_minor
        row.updated_at = clock.now()
        row.save(update_fields=["order", "status", "amount_minor", "updated_at"])
        if order is None:
            return Outcome("done", "it waits for its payment")
        settle(order)
        if kind == Reversal.Kind.DISPUTE:
            _tell(order, row, was, thing["amount"])
    return Outcome("done", f"{order.public_id}: {row.status}")


def _find(account: StripeAccount, intent_id: str) -> Order | Outcome | None:
    """The order that was paid; None when it may yet come, an outcome when it never will.

    Raises: StripeFailedError.
    """
    if not intent_id:
        return Outcome("ignored", "not one of ours")
    order = Order.objects.filter(**of_account(account), payment_intent_id=intent_id).first()
    if order is not None:
        return order
    with translated():
        intent = client.client_of(account).v1.payment_intents.retrieve(intent_id).to_dict()
    found = order_named(account, intent.get("metadata"))
    is_theirs = isinstance(found, Outcome) and found.state == "ignored"
    if is_theirs and Customer.objects.filter(
        account__paywall=account.paywall_id, customer_id=id_of(intent.get("customer"))
    ):
        return None  # A plan's cycle, whose invoice is on its way.
    return found


def _locked(order: Order) -> Order:
    return (
        Order.objects.select_for_update(no_key=True, of=("self",))
        .select_related("account", "paywall", "user")
        .get(pk=order.pk)
    )


def _book(order: Order, row: Reversal, credit: int, bonus: int) -> None:
    row.steps += 1
    ref = f"{row.object_id}:{row.steps}"
    paid = row.booked_nanos - row.booked_bonus_nanos
    for nanos, given in ((credit - paid, False), (bonus - row.booked_bonus_nanos, True)):
        if nanos:
            movements.reverse(
                order.paywall,
                order.user.external_id,
                nanos,
                Reason(
                    actor=ACTOR,
                    reason=f"{row.kind} of {order.public_id}",
                    ref=f"{ref}:bonus" if given else ref,
                ),
                livemode=order.livemode,
                given=given,
            )
    row.booked_nanos, row.booked_bonus_nanos = credit + bonus, bonus
    row.save(update_fields=["steps", "booked_nanos", "booked_bonus_nanos"])


def _tell(order: Order, row: Reversal, was: str, disputed_minor: int) -> None:
    """That it was opened, and how it ended; each once."""
    types = [] if was else ["paywall.dispute.opened"]
    if row.status != was and row.status in TOLD:
        types.append(TOLD[row.status])
    for type_ in types:
        event = Event(
            type=type_,
            user_id=order.user_id,
            livemode=order.livemode,
            source=ACTOR,
            facts={
                "disputeId": row.object_id,
                "amount": amounts.to_nanos(disputed_minor, order.currency),
                "currency": order.currency.lower(),
            },
        )
        outbox.emit(order.paywall, event)
