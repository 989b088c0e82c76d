"""Every failure of Stripe's SDK, as one of ours. The sentences are for the paywall's owner."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar, Final

import stripe

from config.kit.errors import PaywallsError

MESSAGE_CHARS_MAX: Final = 200


class StripeFailedError(PaywallsError):
    """Stripe refused or did not answer."""

    status: ClassVar[int] = 502
    code: ClassVar[str] = "payment_provider_error"
    kind: ClassVar[str] = "api_error"


class StripeBusyError(StripeFailedError):
    """Stripe did not answer, or asked for patience: the same call again may work."""

    status: ClassVar[int] = 503
    code: ClassVar[str] = "payment_provider_unavailable"


class StripeKeyError(StripeFailedError):
    """The key is unknown or revoked: a new one must be saved."""

    code: ClassVar[str] = "payment_key_refused"


class StripePermissionError(StripeKeyError):
    """The restricted key lacks a permission."""

    code: ClassVar[str] = "payment_key_lacks_permission"


class StripeAccountError(StripeKeyError):
    """Stripe does not let the account take payments: it is not activated, or restricted."""

    code: ClassVar[str] = "payment_account_restricted"


class StripeRefusedError(StripeFailedError):
    """Stripe understood the call and says no; the same call never works."""

    code: ClassVar[str] = "payment_refused"


class CardDeclinedError(StripeRefusedError):
    """The bank refused the card."""

    status: ClassVar[int] = 402
    code: ClassVar[str] = "card_declined"


# In this order: the first class that fits. A test holds it against all classes of the SDK.
OURS: Final[tuple[tuple[type[Exception], type[StripeFailedError], str], ...]] = (
    (stripe.APIConnectionError, StripeBusyError, "Stripe cannot be reached."),
    (stripe.RateLimitError, StripeBusyError, "Stripe asks for fewer calls."),
    (
        stripe.PermissionError,
        StripePermissionError,
        "The Stripe key lacks a permission: edit it at Stripe, then check again.",
    ),
    (
        stripe.AuthenticationError,
        StripeKeyError,
        "Stripe does not accept the key: save a new one.",
    ),
    (stripe.IdempotencyError, StripeRefusedError, "Stripe saw this call with other contents."),
    (stripe.CardError, CardDeclinedError, "The card was declined."),
    (stripe.InvalidRequestError, StripeRefusedError, "Stripe refused the call."),
    (stripe.SignatureVerificationError, StripeRefusedError, "The signature is not Stripe's."),
    (stripe.APIError, StripeBusyError, "Stripe has trouble."),
    (stripe.StripeError, StripeRefusedError, "Stripe refused the call."),
)


RESTRICTED: Final = frozenset({"account_invalid", "testmode_charges_only"})
"""Source: docs.stripe.com/error-codes."""


@contextmanager
def translated() -> Iterator[None]:
    """Raises: StripeFailedError, one of its kinds, in the place of the SDK's exceptions."""
    try:
        yield
    except stripe.StripeError as error:
        raise ours(error) from error


def ours(error: stripe.StripeError) -> StripeFailedError:
    """Our exception for one of the SDK's. Its text never holds a key or an address."""
    kind, sentence = next((kind, text) for theirs, kind, text in OURS if isinstance(error, theirs))
    if error.code in RESTRICTED:
        kind, sentence = StripeAccountError, "Stripe lets this account take no payments."
    said = (error.user_message or "")[:MESSAGE_CHARS_MAX]
    details = {"stripe_code": error.code} if error.code else {}
    return kind(f"{sentence} {said}".strip(), details=details)
