"""From a click to Stripe's page: an order's checkout session, made once and used again."""

import datetime as dt
from typing import TYPE_CHECKING, Any, Final, cast

import stripe
from django.conf import settings
from django.db.models import F

from billing.stripe import client, orders, pace, stops
from billing.stripe.errors import (
    StripeFailedError,
    StripeKeyError,
    StripeRefusedError,
    translated,
)
from billing.stripe.fulfil import fulfil
from billing.stripe.models import Customer, Order
from billing.stripe.naming import ORDER, metadata_of
from config.kit.db import forbid_transaction
from paywalls import links
from paywalls.models import EndUser

if TYPE_CHECKING:
    from stripe.params.checkout import SessionCreateParams

KEY_IN_USE: Final = "idempotency_key_in_use"
LOOK_BACK_MAX: Final = 100
"""Sessions among which one is looked for whose answer was lost."""

NAME_CHARS_MAX: Final = 200


def click(user: EndUser, draft: orders.Draft) -> Order:
    """An order that can be paid at its `session_url`; or one that was paid just now.

    Raises: OrderNotPossibleError; StripeFailedError when there is no page to go to now.
    """
    return open_page(orders.start(user, draft))


def open_page(order: Order) -> Order:
    """The same for an order that is known: one whose session has expired gets a successor.

    Raises: OrderNotPossibleError; StripeFailedError.
    """
    forbid_transaction()
    pace.take(order.account)
    try:
        if order.session_id is None and order.account.is_active:
            return _make(order)
        # Somebody may have paid it on another screen.
        order = fulfil(order)
        # An open page of an account that was replaced is not offered any more; paid, it counts.
        is_left = order.status == Order.Status.OPEN and not order.account.is_active
        if order.status != Order.Status.EXPIRED and not is_left:
            return order
        successor = orders.start(order.user, orders.again(order))
        return _make(successor) if successor.session_id is None else successor
    except StripeKeyError as error:
        stops.note_trouble(order.account, error)
        raise


def _make(order: Order) -> Order:
    """Raises: StripeFailedError."""
    try:
        session = _create(order)
    except StripeFailedError as error:
        if not is_stored(error):
            raise
        # This answer is all that the key gives for a day, so the next call needs another one.
        Order.objects.filter(pk=order.pk, attempt=order.attempt).update(attempt=F("attempt") + 1)
        order.attempt += 1
        session = _lost(order) or _create(order)
    Order.objects.filter(pk=order.pk, session_id=None).update(
        session_id=session.id,
        session_url=session.url or "",
        session_expires_at=dt.datetime.fromtimestamp(session.expires_at, dt.UTC),
    )
    return orders.find(order.pk)


def _create(order: Order) -> stripe.checkout.Session:
    """Raises: StripeFailedError."""
    params, key = params_of(order), f"order:{order.pk}:{order.attempt}"
    try:
        return _session(order, params, key)
    except StripeRefusedError as error:
        if "customer" not in params or not is_about_customer(error):
            raise
    # Somebody has deleted the customer at Stripe: people pay as if for the first time.
    for name in ("customer", "customer_update"):
        params.pop(name, None)
    return _session(order, params, f"{key}:anew")


def _session(order: Order, params: dict[str, Any], key: str) -> stripe.checkout.Session:
    with translated():
        return client.client_of(order.account).v1.checkout.sessions.create(
            cast("SessionCreateParams", params), {"idempotency_key": key}
        )


def is_about_customer(error: StripeRefusedError) -> bool:
    """Whether Stripe does not know the customer any more."""
    cause = error.__cause__
    return isinstance(cause, stripe.InvalidRequestError) and cause.param == "customer"


def is_stored(error: StripeFailedError) -> bool:
    """Whether the same idempotency key would only bring this failure again.

    Source: docs.stripe.com/api/idempotent_requests: errors of the server are kept, and so are the
    parameters, which a changed name or switch makes others.
    """
    cause = error.__cause__
    if isinstance(cause, stripe.IdempotencyError):
        return cause.code != KEY_IN_USE
    return isinstance(cause, stripe.APIError)


def _lost(order: Order) -> stripe.checkout.Session | None:
    """The order's session, if it was made although its answer was an error."""
    since = int(order.created_at.timestamp()) - 60
    with translated():
        listed = client.client_of(order.account).v1.checkout.sessions.list(
            {"created": {"gte": since}, "limit": LOOK_BACK_MAX, "status": "open"}
        )
    for session in listed.data:
        if (session.to_dict().get("metadata") or {}).get(ORDER) == order.public_id:
            return session
    return None


def params_of(order: Order) -> dict[str, Any]:
    """What Stripe is asked for: the same for every try of an order."""
    how = orders.settings_of(order.paywall)
    metadata = metadata_of(order)
    params: dict[str, Any] = {
        "mode": "subscription" if order.plan else "payment",
        "client_reference_id": order.public_id,
        "line_items": [_item(order)],
        "metadata": metadata,
        "success_url": order_url(order),
        "cancel_url": f"{page_url(order.user)}?choose=1",
        # The person pays what was ordered, in its currency: else amounts could not be compared.
        "adaptive_pricing": {"enabled": False},
    }
    customer = Customer.objects.filter(account=order.account, user=order.user).first()
    if customer is not None:
        params["customer"] = customer.customer_id
    if how.tax:
        params["automatic_tax"] = {"enabled": True}
        if customer is not None:
            params["customer_update"] = {"address": "auto"}
    if how.promotion_codes:
        params["allow_promotion_codes"] = True
    if order.plan:
        params["subscription_data"] = {"metadata": metadata}
        return params
    params["payment_intent_data"] = {"metadata": metadata, "description": order.public_id}
    if order.saves_card:
        params["payment_intent_data"]["setup_future_usage"] = "off_session"
        params["allowed_payment_method_types"] = ["card"]
    params["submit_type"] = "pay"
    if how.invoices:
        params["invoice_creation"] = {"enabled": True, "invoice_data": {"metadata": metadata}}
    return params


def _item(order: Order) -> dict[str, Any]:
    sold = order.pack or order.plan
    if sold and sold.stripe_price_id:
        return {"quantity": 1, "price": sold.stripe_price_id}
    name = sold.name if sold else "credit"
    price: dict[str, Any] = {
        "currency": order.currency.lower(),
        "unit_amount": order.price_minor,
        "product_data": {"name": f"{order.paywall.name}: {name}"[:NAME_CHARS_MAX]},
    }
    if order.plan:
        price["recurring"] = {
            "interval": order.plan.interval,
            "interval_count": order.plan.interval_count,
        }
    return {"quantity": 1, "price_data": price}


def page_url(user: EndUser) -> str:
    """Our page with everything that the user can buy."""
    return f"{settings.BASE_URL}/pay/{links.checkout_token(user.pk)}"


def order_url(order: Order) -> str:
    """Our page that follows one order."""
    return f"{page_url(order.user)}/order/{order.public_id}"
