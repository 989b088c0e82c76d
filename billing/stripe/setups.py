"""Stripe's page on which a card is saved without a payment."""

from typing import TYPE_CHECKING, cast

from billing.stripe import cards, client, pace
from billing.stripe.checkout import is_about_customer
from billing.stripe.errors import StripeRefusedError, translated
from billing.stripe.naming import PAYWALL
from billing.stripe.refill_models import RefillAgreement
from config.kit import ids
from config.kit.db import forbid_transaction

if TYPE_CHECKING:
    from stripe.checkout import Session
    from stripe.params.checkout import SessionCreateParams


def page_that_saves(agreement: RefillAgreement, *, back_to: str) -> str:
    """Its address. `agreement.customer` is loaded with its account and user.

    Raises: StripeFailedError.
    """
    forbid_transaction()
    pace.take(agreement.customer.account)
    try:
        made = _session(agreement, back_to)
    except StripeRefusedError as error:
        if not is_about_customer(error):
            raise
        cards.renew(agreement.customer)
        made = _session(agreement, back_to)
    RefillAgreement.objects.filter(pk=agreement.pk).update(session_id=made.id)
    return made.url or back_to


def _session(agreement: RefillAgreement, back_to: str) -> "Session":
    customer = agreement.customer
    metadata = {
        PAYWALL: ids.encode("pw", customer.account.paywall_id),
        cards.AGREEMENT: agreement.public_id,
    }
    wanted = {
        "mode": "setup",
        "customer": customer.customer_id,
        "allowed_payment_method_types": ["card"],
        "metadata": metadata,
        "setup_intent_data": {"metadata": metadata},
        "success_url": back_to,
        "cancel_url": back_to,
    }
    with translated():
        return client.client_of(customer.account).v1.checkout.sessions.create(
            cast("SessionCreateParams", wanted)
        )
