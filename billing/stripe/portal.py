"""Stripe's own page on which people see invoices, change their card or end their plan."""

from typing import TYPE_CHECKING, Final, cast

from billing.stripe import client, orders, pace, stops
from billing.stripe.checkout import is_about_customer, page_url
from billing.stripe.errors import (
    StripeKeyError,
    StripePermissionError,
    StripeRefusedError,
    translated,
)
from billing.stripe.models import Customer, StripeAccount
from config.kit import clock
from config.kit.db import forbid_transaction
from paywalls.models import EndUser

if TYPE_CHECKING:
    from stripe import V1Services
    from stripe.params.billing_portal import ConfigurationCreateParams

CALL_S: Final = 4.0
"""Of each try of a call; somebody waits."""

MADE: Final = "paywalls_account"
CONFIGURATION: Final = {
    "features": {
        "invoice_history": {"enabled": True},
        "payment_method_update": {"enabled": True},
        "subscription_cancel": {"enabled": True, "mode": "at_period_end"},
    }
}
"""Where the developer has set up none: nobody can change to a price that is no plan."""


def open_portal(user: EndUser) -> str:
    """The address of a session that Stripe keeps open for some minutes. `user.paywall` is loaded.

    Raises: OrderNotPossibleError for a user who never had a plan, or whom Stripe has forgotten;
    StripeFailedError.
    """
    forbid_transaction()
    account = orders.account_of(user.paywall, livemode=user.livemode)
    known = account and Customer.objects.filter(account=account, user=user).first()
    if account is None or not known:
        raise orders.OrderNotPossibleError("This user has no plan: there is nothing to manage.")
    pace.take(account)
    try:
        return _open(account, known, page_url(user))
    except StripeKeyError as error:
        # Without the permission for this page people can still pay.
        stops.note_trouble(account, error, stops=not isinstance(error, StripePermissionError))
        raise


def _open(account: StripeAccount, customer: Customer, return_url: str) -> str:
    v1 = client.client_of(account, call_s=CALL_S).v1
    try:
        with translated():
            return v1.billing_portal.sessions.create(
                {"customer": customer.customer_id, "return_url": return_url}
            ).url
    except StripeRefusedError as error:
        if is_about_customer(error):
            raise orders.OrderNotPossibleError(
                "This user is deleted at Stripe: there is nothing to manage."
            ) from error
    # Nobody has opened the portal's settings at Stripe yet, so it has no form.
    configuration = _configuration(account, v1)
    with translated():
        return v1.billing_portal.sessions.create(
            {
                "customer": customer.customer_id,
                "return_url": return_url,
                "configuration": configuration,
            }
        ).url


def _configuration(account: StripeAccount, v1: "V1Services") -> str:
    """Ours, made once."""
    configurations = v1.billing_portal.configurations
    with translated():
        listed = configurations.list({"active": True, "limit": 100})
        for known in listed.data:
            if (known.to_dict().get("metadata") or {}).get(MADE):
                return known.id
        wanted = {**CONFIGURATION, "metadata": {MADE: account.public_id}}
        # Stripe repeats a failure under its key for a day: the next minute asks anew.
        minute = int(clock.now().timestamp()) // 60
        return configurations.create(
            cast("ConfigurationCreateParams", wanted),
            {"idempotency_key": f"portal:{account.pk}:{minute}"},
        ).id
