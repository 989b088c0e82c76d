"""Event types that we listen to, and what each leads to.

A handler gets the stored event and asks Stripe for the object itself; it may run many times, at
once, and in any order. It says what became of the event.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from django.utils.module_loading import import_string

from billing.stripe.models import InboxEvent

type Handler = Callable[[InboxEvent], Outcome]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an event. reason: for the people who look at it."""

    state: Literal["done", "ignored", "quarantined"]
    reason: str = ""


SESSION: Final = "billing.stripe.orders.on_session"
PAYMENT: Final = "billing.stripe.orders.on_payment"
REFUND: Final = "billing.stripe.reversals.on_refund"
DISPUTE: Final = "billing.stripe.reversals.on_dispute"
WARNING: Final = "billing.stripe.reversals.on_warning"
INVOICE: Final = "billing.stripe.plans.on_invoice"
SUBSCRIPTION: Final = "billing.stripe.plans.on_subscription"
DELETED: Final = "billing.stripe.endpoint.on_customer_deleted"
SETUP: Final = "billing.stripe.cards.on_setup"
DETACHED: Final = "billing.stripe.cards.on_detached"

# By name, because handlers know the modules that know this one.
EVENT_TYPES: Final = {
    "checkout.session.completed": SESSION,
    "checkout.session.async_payment_succeeded": SESSION,
    "checkout.session.async_payment_failed": SESSION,
    "checkout.session.expired": SESSION,
    "payment_intent.succeeded": PAYMENT,
    "payment_intent.payment_failed": PAYMENT,
    "charge.refunded": REFUND,
    "refund.created": REFUND,
    "refund.updated": REFUND,
    "refund.failed": REFUND,
    "charge.dispute.created": DISPUTE,
    "charge.dispute.updated": DISPUTE,
    "charge.dispute.funds_withdrawn": DISPUTE,
    "charge.dispute.funds_reinstated": DISPUTE,
    "charge.dispute.closed": DISPUTE,
    "radar.early_fraud_warning.created": WARNING,
    "invoice.paid": INVOICE,
    "invoice.payment_failed": INVOICE,
    "customer.subscription.created": SUBSCRIPTION,
    "customer.subscription.updated": SUBSCRIPTION,
    "customer.subscription.deleted": SUBSCRIPTION,
    "customer.deleted": DELETED,
    "setup_intent.succeeded": SETUP,
    "payment_method.detached": DETACHED,
}


def handle(event: InboxEvent) -> Outcome:
    """Raises: StripeFailedError when Stripe cannot be asked; then the event is tried again."""
    name = EVENT_TYPES.get(event.type)
    if name is None:
        return Outcome("ignored", "we do not listen to this type")
    handler: Handler = import_string(name)
    return handler(event)
