"""The SDK, set up: one client for each saved key."""

from typing import TYPE_CHECKING, Final

import requests
import stripe
from django.conf import settings

from billing.stripe.errors import StripeKeyError
from billing.stripe.models import StripeAccount
from config.kit import crypto

if TYPE_CHECKING:
    from stripe._base_address import BaseAddresses

API_VERSION: Final = "2026-10-28.endive"
"""What this code was written against; webhooks are made with the same. An upgrade is a change."""

CONNECT_S: Final = 5.0
CALL_S: Final = 20.0
RETRIES: Final = 2
"""Of the SDK's own, with the same idempotency key; tasks try again later by themselves."""


def client_of(account: StripeAccount, *, call_s: float | None = None) -> stripe.StripeClient:
    """A client with the account's key. call_s: for calls that somebody waits for."""
    return client(open_key(account), call_s=call_s)


def client(key: str, *, call_s: float | None = None) -> stripe.StripeClient:
    """A client with a key that is not saved yet."""
    session = requests.Session()
    session.trust_env = False  # No proxy and no netrc of the environment.
    base: BaseAddresses = {}
    if settings.STRIPE_API_BASE:
        base["api"] = settings.STRIPE_API_BASE
    return stripe.StripeClient(
        key,
        stripe_version=API_VERSION,
        base_addresses=base,
        max_network_retries=RETRIES,
        http_client=stripe.RequestsClient(timeout=(CONNECT_S, call_s or CALL_S), session=session),
    )


def seal_key(account: StripeAccount, key: str) -> bytes:
    """The key, sealed for this account of this paywall only."""
    return crypto.seal(key.encode(), context=seal_context(account), keys=settings.ENCRYPTION_KEYS)


def open_key(account: StripeAccount) -> str:
    """The plain key.

    Raises: StripeKeyError when the keys that sealed it are gone.
    """
    sealed, context = bytes(account.sealed_key), seal_context(account)
    try:
        return crypto.unseal(sealed, context=context, keys=settings.ENCRYPTION_KEYS).decode()
    except crypto.SealError as error:
        raise StripeKeyError("The saved Stripe key does not open: save it again.") from error


def seal_context(account: StripeAccount) -> str:
    """What the key is bound to."""
    return f"stripe:{account.paywall_id}:{account.id}"
