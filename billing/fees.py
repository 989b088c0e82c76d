"""The platform's fee on Shared charges: an operator's setting, with a history."""

import datetime as dt

from django.db import connection
from django.db.models import Max
from django.db.models.functions import Now

from billing.models import PlatformFee
from billing.splits import MILLION
from config.kit.db import require_transaction
from config.kit.errors import InvalidRequestError
from paywalls import audit


def fee_in_force(at: dt.datetime | None = None) -> PlatformFee | None:
    """The fee at a moment, by default now; None: none was ever set, so it is 0."""
    moment = Now() if at is None else at
    found = PlatformFee.objects.filter(valid_from__lte=moment)
    return found.order_by("-valid_from", "-number").first()


def set_fee(ppm: int, *, valid_from: dt.datetime | None = None, actor: str) -> PlatformFee:
    """Take this share of what begins from a moment on, by default now; in the caller's transaction.

    ppm: millionths of the charge. What ran before keeps its fee.
    Raises: InvalidRequestError, also for a moment that has passed.
    """
    require_transaction()
    if not 0 <= ppm <= MILLION:
        raise InvalidRequestError("The fee is 0 to 100 percent.", param="percent")
    with connection.cursor() as cursor:
        cursor.execute("LOCK TABLE billing_platformfee IN SHARE ROW EXCLUSIVE MODE")
        cursor.execute("SELECT clock_timestamp()")
        (now,) = cursor.fetchone()
    if valid_from is not None and valid_from < now:
        raise InvalidRequestError("A fee begins now or later: charges keep theirs.", param="from")
    last = PlatformFee.objects.aggregate(last=Max("number"))["last"] or 0
    fee = PlatformFee.objects.create(
        number=last + 1, ppm=ppm, valid_from=valid_from or now, actor=actor
    )
    audit.record(
        paywall=None,
        actor=actor,
        action="fee.set",
        subject=f"fee {fee.number}",
        after={"ppm": ppm, "valid_from": fee.valid_from.isoformat()},
    )
    return fee
