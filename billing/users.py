"""End users made by hand, as the money calls make them: with a wallet and the trial."""

import orjson
from django.db import connection

from config.kit.db import require_transaction
from paywalls import rules, users
from paywalls.models import EndUser, Paywall


def trial_of(paywall: Paywall) -> dict[str, int] | None:
    """What a user gets who is seen for the first time, as `billing_user` reads it."""
    prices = rules.price_list(paywall.pk)
    if prices is None:
        return None
    return {
        "nanos": prices.trial_nanos,
        "requests": prices.trial_requests,
        "days": prices.trial_days,
    }


def make(paywall: Paywall, external_id: str, *, livemode: bool) -> EndUser:
    """The user with this external id, made if it is new, in the caller's transaction.

    Raises: InvalidRequestError for an id that no call could name.
    """
    require_transaction()
    external_id = users.read_external_id(external_id)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM billing_user(%s, %s, %s, %s, %s::jsonb)",
            [
                paywall.pk,
                livemode,
                external_id,
                paywall.currency,
                orjson.dumps(trial_of(paywall)).decode(),
            ],
        )
        (user_id,) = cursor.fetchone()
    return EndUser.objects.select_related("paywall").get(pk=user_id)
