"""Saved cards: kept through Stripe's page, known here by brand and last four, forgotten on wish.

What Stripe says counts: whoever hears of a card (an event, the page that people come back to) asks
for the object itself.
"""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

import stripe
import structlog
from django.db import transaction
from django.db.models import Q

from billing.stripe import agreements, client, pace
from billing.stripe.errors import StripeFailedError, StripeRefusedError, translated
from billing.stripe.handlers import Outcome
from billing.stripe.models import Customer, InboxEvent, Order, StripeAccount
from billing.stripe.naming import PAYWALL, id_of
from billing.stripe.refill_models import RefillAgreement
from config.kit import ids
from config.kit.db import forbid_transaction, require_transaction
from paywalls.models import EndUser

if TYPE_CHECKING:
    from stripe.params import CustomerCreateParams

log = structlog.get_logger(__name__)

USER: Final = "paywalls_user"
AGREEMENT: Final = "paywalls_refill"
MISSING: Final = "resource_missing"
ERASED_MAX: Final = 1_000
"""Users of one night; the others are the next one's."""

REMOVED: Final = "The saved card was removed at Stripe."


def customer_of(account: StripeAccount, user: EndUser) -> Customer:
    """The user at Stripe, made there if need be, once.

    Raises: StripeFailedError.
    """
    forbid_transaction()
    known = Customer.objects.filter(account=account, user=user).first()
    if known is None:
        pace.take(account)
        customer_id = _made(account, user, "")
        known, _ = Customer.objects.get_or_create(
            account=account, user=user, defaults={"customer_id": customer_id}
        )
    known.user = user
    return known


def renew(customer: Customer) -> None:
    """Somebody has deleted the customer at Stripe: another one takes their place, without a card.

    Raises: StripeFailedError.
    """
    forbid_transaction()
    gone = customer.customer_id
    customer.customer_id = _made(customer.account, customer.user, gone)
    with transaction.atomic():
        agreements.card_gone(customer, customer.payment_method_id, trouble=REMOVED)
        mine = Customer.objects.filter(pk=customer.pk, customer_id=gone)
        mine.update(customer_id=customer.customer_id)


def look(agreement: RefillAgreement) -> Outcome:
    """Whether the card that the agreement waits for is there by now. Raises: StripeFailedError."""
    account = agreement.customer.account
    with translated():
        session = client.client_of(account).v1.checkout.sessions.retrieve(agreement.session_id)
    return take_session(account, session.to_dict())


def take_session(account: StripeAccount, session: Mapping[str, Any]) -> Outcome:
    """A session that saves a card, as Stripe says it is now. Raises: StripeFailedError."""
    if session["status"] != "complete" or not session.get("setup_intent"):
        return Outcome("done", f"no card was saved: {session['status']}")
    return _take(account, id_of(session["setup_intent"]))


def on_setup(event: InboxEvent) -> Outcome:
    """A card was saved without a payment. Raises: StripeFailedError."""
    return _take(event.account, event.object_id)


def on_detached(event: InboxEvent) -> Outcome:
    """A card was taken away at Stripe: nobody charges it any more. Raises: StripeFailedError."""
    account = event.account
    mine = Customer.objects.filter(account__paywall=account.paywall_id)
    known = mine.filter(payment_method_id=event.object_id, account__livemode=account.livemode)
    customer = known.first()
    if customer is None:
        return Outcome("ignored", "no card that is saved here")
    with translated():
        try:
            method = client.client_of(account).v1.payment_methods.retrieve(event.object_id)
        except stripe.InvalidRequestError as error:
            if error.code != MISSING:
                raise
            owner = ""
        else:
            owner = id_of(method.to_dict().get("customer"))
    if owner == customer.customer_id:
        return Outcome("done", "it is still saved")
    agreements.card_gone(customer, event.object_id, trouble=REMOVED)
    return Outcome("done", "the card is forgotten")


def keep(order: Order, method_id: str, customer_id: str, card: Mapping[str, Any]) -> None:
    """The card that paid the order, if its payer still wants it saved. The caller's transaction.

    customer_id: whose it is at Stripe: another one, where the known one was deleted there.
    """
    require_transaction()
    customer = Customer.objects.filter(account=order.account, user=order.user).first()
    if not (customer and customer_id and method_id and card):
        log.warning("card.not_kept", order=order.public_id)
        return
    unused = method_id
    if agreements.live_of(customer):
        Customer.objects.filter(pk=customer.pk).update(customer_id=customer_id)
        unused = agreements.card_kept(
            customer, method_id=method_id, brand=card["brand"] or "", last_four=card["last4"] or ""
        )
    if unused and unused != customer.payment_method_id:
        transaction.on_commit(partial(_detach, order.account, unused))


def forget(customer: Customer) -> None:
    """Nothing is charged any more, and Stripe forgets the card too.

    Raises: StripeFailedError when Stripe cannot be asked; nothing is charged all the same.
    """
    forbid_transaction()
    agreements.switch_off(customer)
    method_id = customer.payment_method_id
    if method_id:
        _detach_now(customer.account, method_id)
        agreements.card_gone(customer, method_id)


def forget_erased() -> int:
    """What erased users left: their cards, and the address of their consent. How many users."""
    gone = Customer.objects.filter(user__erased_at__isnull=False)
    left = Q(payment_method_id__gt="") | Q(agreements__address__isnull=False)
    rows = list(gone.filter(left).distinct().select_related("account__paywall")[:ERASED_MAX])
    for customer in rows:
        try:
            forget(customer)
        except StripeFailedError as error:
            log.warning("card.not_forgotten", account=customer.account.public_id, error=error.code)
        RefillAgreement.objects.filter(customer=customer).update(address=None)
    return len(rows)


def _made(account: StripeAccount, user: EndUser, instead_of: str) -> str:
    """The id of a customer, made once. Raises: StripeFailedError."""
    wanted = {
        "metadata": {
            PAYWALL: ids.encode("pw", account.paywall_id),
            USER: ids.encode("usr", user.pk),
        }
    }
    with translated():
        return (
            client.client_of(account)
            .v1.customers.create(
                cast("CustomerCreateParams", wanted),
                {"idempotency_key": f"customer:{account.pk}:{user.pk}:{instead_of}"},
            )
            .id
        )


def _take(account: StripeAccount, intent_id: str) -> Outcome:
    """Raises: StripeFailedError."""
    forbid_transaction()
    with translated():
        found = client.client_of(account).v1.setup_intents.retrieve(
            intent_id, {"expand": ["payment_method"]}
        )
    intent = found.to_dict()
    named = intent.get("metadata") or {}
    if AGREEMENT not in named:
        return Outcome("ignored", "not one of ours")
    agreement_id = ids.decode("refill", named[AGREEMENT])
    mine = RefillAgreement.objects.select_related("customer__account").filter(
        customer__account__paywall=account.paywall_id, customer__account__livemode=account.livemode
    )
    agreement = mine.filter(pk=agreement_id).first() if agreement_id else None
    if agreement is None or intent["livemode"] is not account.livemode:
        return Outcome("quarantined", "there is no such agreement")
    customer, method = agreement.customer, intent.get("payment_method")
    if id_of(intent.get("customer")) != customer.customer_id:
        return Outcome("quarantined", "the card is another customer's")
    if intent["status"] != "succeeded" or not method or method["type"] != "card":
        return Outcome("done", f"no card was saved: {intent['status']}")
    if id_of(method.get("customer")) != customer.customer_id:
        return Outcome("done", "the card was taken away again")
    return _kept(agreement, method)


def _kept(agreement: RefillAgreement, method: Mapping[str, Any]) -> Outcome:
    """Raises: StripeFailedError."""
    customer = agreement.customer
    with transaction.atomic():
        Customer.objects.select_for_update(no_key=True).get(pk=customer.pk)
        is_wanted = agreements.lock(agreement).status != RefillAgreement.Status.OFF
        before = ""
        if is_wanted:
            before = agreements.card_kept(
                customer,
                method_id=method["id"],
                brand=method["card"]["brand"] or "",
                last_four=method["card"]["last4"] or "",
            )
    if not is_wanted and customer.payment_method_id != method["id"]:
        before = method["id"]
    if before:
        _detach(customer.account, before)
    return Outcome("done", "the card is saved" if is_wanted else "nobody waits for the card")


def _detach(account: StripeAccount, method_id: str) -> None:
    """Takes a card away that nobody needs; one that stays is of no use to us."""
    try:
        _detach_now(account, method_id)
    except StripeFailedError as error:
        log.warning("card.not_detached", account=account.public_id, error=error.code)


def _detach_now(account: StripeAccount, method_id: str) -> None:
    """It is gone, whoever took it away. Raises: StripeFailedError."""
    try:
        with translated():
            client.client_of(account).v1.payment_methods.detach(method_id)
    except StripeRefusedError as error:
        # Taken away before, or with its customer.
        log.info("card.was_gone", account=account.public_id, error=error.code)
