"""From what Stripe says of a session or a payment to credit in a wallet, once.

`fulfil` may run many times and at once: after events, on the return page, by the reconciler.
`judge` decides, without looking anywhere; the order's row is locked while it is written.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import structlog
from django.db import transaction

from billing import movements
from billing.movements import Reason
from billing.stripe import agreements, amounts, cards, client, plans, reversals
from billing.stripe.errors import translated
from billing.stripe.models import Order, StripeAccount
from billing.stripe.naming import ORDER, PAYWALL, id_of
from billing.stripe.person_models import PersonOrder
from billing.webhooks import outbox
from billing.webhooks.events import Event
from config.kit import clock
from config.kit.db import forbid_transaction
from config.kit.errors import PaywallsError

log = structlog.get_logger(__name__)

ACTOR: Final = "stripe"

BOOKED: Final = (
    *("transaction_id", "status", "reason", "paid_at", "paid_minor"),
    *("payment_intent_id", "invoice_id", "receipt_url"),
)

type Stage = Literal["open", "pending", "paid", "free", "expired", "failed", "canceled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """What Stripe says. Amounts in minor units: before, and after tax and coupons.

    problem: why the bank did not pay. card: as the charge describes it; empty for other methods.
    """

    stage: Stage
    ref: str
    livemode: bool
    paywall: str
    order: str
    currency: str
    subtotal_minor: int
    total_minor: int
    discount_minor: int = 0
    takes_codes: bool = False
    payment_intent_id: str = ""
    invoice_id: str = ""
    receipt_url: str = ""
    problem: str = ""
    method_id: str = ""
    customer_id: str = ""
    card: Mapping[str, Any] = field(default_factory=dict)


def fulfil(order: Order, account: StripeAccount | None = None) -> Order:
    """Brings the order to where Stripe says it is. The row afterwards.

    account: whose key can see it, if not the order's own: keys are replaced.

    Raises: StripeFailedError when Stripe cannot be asked.
    """
    forbid_transaction()
    if order.status == Order.Status.PAID or not (order.session_id or order.payment_intent_id):
        return order
    payment = _ask(order, account or order.account)
    status, reason = judge(order, payment)
    if status != Order.Status.PAID:
        return _mark(order, status, reason, payment)
    if order.kind == Order.Kind.PLAN and payment.invoice_id:
        taken = plans.take_invoice(account or order.account, payment.invoice_id)
        if taken.state == "quarantined":
            return _mark(order, Order.Status.QUARANTINED, taken.reason, payment)
    try:
        return _book(order, payment)
    except PaywallsError as error:
        reason = f"it could not be booked: {error.message}"
        return _mark(order, Order.Status.QUARANTINED, reason, payment)


def judge(order: Order | PersonOrder, payment: Payment) -> tuple[Order.Status, str]:
    """What becomes of the order: only what was ordered, and is paid, is fulfilled."""
    if payment.stage not in ("paid", "free"):
        return Order.Status(payment.stage), payment.problem
    wrong = {
        "mode": (payment.livemode, order.livemode),
        "paywall": (payment.paywall, order.payee),
        "order": (payment.order, order.public_id),
        "currency": (payment.currency, order.currency),
        "amount": (payment.subtotal_minor, order.price_minor),
    }
    for name, (theirs, ours) in wrong.items():
        if theirs != ours:
            return Order.Status.QUARANTINED, f"the {name} is {theirs}, ordered was {ours}"
    if payment.discount_minor and not payment.takes_codes:
        return Order.Status.QUARANTINED, f"{payment.discount_minor} were taken off"
    if payment.stage == "free" and not payment.discount_minor and order.price_minor:
        return Order.Status.QUARANTINED, "nothing was paid, and no coupon says why"
    if payment.total_minor < order.price_minor - payment.discount_minor:
        return Order.Status.QUARANTINED, f"only {payment.total_minor} were paid"
    return Order.Status.PAID, ""


def of_session(session: Mapping[str, Any]) -> Payment:
    """A session with its payment (and that one's charge) expanded."""
    intent = session.get("payment_intent") or {}
    charge = intent.get("latest_charge") or {}
    details = session.get("total_details") or {}
    metadata = session.get("metadata") or {}
    return Payment(
        stage=_stage(session, intent.get("status")),
        ref=session["id"],
        livemode=session["livemode"],
        paywall=metadata.get(PAYWALL, ""),
        order=metadata.get(ORDER, ""),
        currency=(session.get("currency") or "").upper(),
        subtotal_minor=session.get("amount_subtotal") or 0,
        total_minor=session.get("amount_total") or 0,
        discount_minor=details.get("amount_discount") or 0,
        takes_codes=bool(session.get("allow_promotion_codes")),
        payment_intent_id=intent.get("id", ""),
        invoice_id=id_of(session.get("invoice")),
        receipt_url=charge.get("receipt_url") or "",
        method_id=id_of(intent.get("payment_method")),
        customer_id=id_of(session.get("customer")),
        card=(charge.get("payment_method_details") or {}).get("card") or {},
    )


def of_intent(intent: Mapping[str, Any]) -> Payment:
    """A payment without a session: an automatic top-up."""
    stages: dict[str, Stage] = {
        "succeeded": "paid",
        "processing": "pending",
        "canceled": "canceled",
        "requires_payment_method": "failed",
        "requires_action": "failed",  # Nobody is there to answer the bank.
    }
    metadata = intent.get("metadata") or {}
    charge = intent.get("latest_charge") or {}
    return Payment(
        stage=stages.get(intent["status"], "open"),
        ref=intent["id"],
        livemode=intent["livemode"],
        paywall=metadata.get(PAYWALL, ""),
        order=metadata.get(ORDER, ""),
        currency=intent["currency"].upper(),
        subtotal_minor=intent["amount"],
        total_minor=intent["amount_received"],
        payment_intent_id=intent["id"],
        receipt_url=charge.get("receipt_url") or "",
        problem=(intent.get("last_payment_error") or {}).get("message") or "",
    )


def _stage(session: Mapping[str, Any], intent_status: str | None) -> Stage:
    if session["status"] != "complete":
        return "expired" if session["status"] == "expired" else "open"
    if session["payment_status"] == "no_payment_required":
        return "free"
    if session["payment_status"] == "paid":
        return "paid"
    # A delayed method: the bank says later whether it pays.
    return "failed" if intent_status in ("requires_payment_method", "canceled") else "pending"


def _ask(order: Order, account: StripeAccount) -> Payment:
    v1 = client.client_of(account).v1
    with translated():
        if order.session_id:
            session = v1.checkout.sessions.retrieve(
                order.session_id, {"expand": ["payment_intent.latest_charge"]}
            )
            return of_session(session.to_dict())
        intent = v1.payment_intents.retrieve(order.payment_intent_id, {"expand": ["latest_charge"]})
        return of_intent(intent.to_dict())


def _book(order: Order, payment: Payment) -> Order:
    """Raises: PaywallsError when the wallet cannot take it."""
    with transaction.atomic():
        row = _locked(order)
        if row.status == Order.Status.PAID:
            return row
        if row.status not in (Order.Status.OPEN, Order.Status.PENDING):
            log.warning("order.paid_late", order=row.public_id, was=row.status)
        if row.kind != Order.Kind.PLAN:
            _credit(row, payment.ref)
        row.status, row.reason, row.paid_at = Order.Status.PAID, "", clock.now()
        row.paid_minor = payment.total_minor
        row.payment_intent_id = payment.payment_intent_id
        row.invoice_id, row.receipt_url = payment.invoice_id, payment.receipt_url
        row.save(update_fields=BOOKED)
        if row.session_id:
            _tell(row, payment)
        if row.saves_card:
            cards.keep(row, payment.method_id, payment.customer_id, payment.card)
        if row.agreement_id:
            agreements.paid(row)
        reversals.settle(row)
    return row


def _credit(row: Order, ref: str) -> None:
    """What was ordered, whatever a coupon took off."""
    why = Reason(actor=ACTOR, reason=f"Top-up {row.public_id}", ref=ref)
    user = row.user.external_id
    moved = movements.topup(row.paywall, user, row.credit_nanos, why, livemode=row.livemode)
    row.transaction_id = moved.transaction_id
    if row.bonus_nanos:
        movements.bonus(row.paywall, user, row.bonus_nanos, why, livemode=row.livemode)


def _mark(order: Order, status: Order.Status, reason: str, payment: Payment) -> Order:
    """A status that moves no money; one that was paid stays so."""
    may_change = {Order.Status.OPEN, Order.Status.PENDING}
    if status == Order.Status.QUARANTINED:
        log.error("order.quarantined", order=order.public_id, reason=reason)
        may_change = set(Order.Status) - {Order.Status.PAID}
    with transaction.atomic():
        row = _locked(order)
        if row.status in may_change and status != row.status:
            row.status, row.reason = status, reason[:300]
            row.payment_intent_id = payment.payment_intent_id or row.payment_intent_id
            row.save(update_fields=["status", "reason", "payment_intent_id"])
            if row.agreement_id and status == Order.Status.FAILED:
                agreements.declined(row, reason)
    return row


def _locked(order: Order) -> Order:
    return (
        Order.objects.select_for_update(no_key=True, of=("self",))
        .select_related("account__paywall", "paywall", "user", "pack", "plan")
        .get(pk=order.pk)
    )


def _tell(row: Order, payment: Payment) -> None:
    facts = {
        "checkoutSessionId": row.session_id,
        "amount": amounts.to_nanos(payment.total_minor, row.currency),
        "currency": row.currency.lower(),
    }
    outbox.emit(
        row.paywall,
        Event(
            type="paywall.stripe.checkout.session.completed",
            user_id=row.user_id,
            livemode=row.livemode,
            source=ACTOR,
            facts=facts,
        ),
    )
