"""Spreads the calls that people cause by clicking: at most 25 in any second for one account.

Stripe takes 25 a second of an address in test mode, a hundred of an account in live mode; the rest
is for events and the reconciler. Source: docs.stripe.com/rate-limits.
"""

from typing import Final

from django.db import connection

from billing.stripe.errors import StripeBusyError
from billing.stripe.models import StripeAccount

EVERY_MS: Final = 50
AHEAD_MS: Final = 200
"""Calls are booked 50 ms apart, and no further ahead than this: five at once, then 20 a second."""

RETRY_S: Final = 2

TAKE: Final = f"""
    UPDATE billing_stripe_account
    SET paced_until =
        greatest(paced_until, clock_timestamp()) + interval '{EVERY_MS} milliseconds'
    WHERE id = %s AND paced_until <= clock_timestamp() + interval '{AHEAD_MS} milliseconds'
"""  # noqa: S608 - numbers of ours.


def take(account: StripeAccount) -> None:
    """One call, counted for all processes together.

    Raises: StripeBusyError when there is none to have now.
    """
    if not try_take(account):
        raise StripeBusyError("Many people are paying at this moment.", retry_after_s=RETRY_S)


def try_take(account: StripeAccount) -> bool:
    """Whether a call may be made now; if so it counts."""
    with connection.cursor() as cursor:
        cursor.execute(TAKE, [account.pk])
        return bool(cursor.rowcount)
