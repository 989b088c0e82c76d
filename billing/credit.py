"""Credit lines: wallets whose floor the developer has lowered (Default mode)."""

from django.db import connection, utils

from billing.errors import CreditLineInUseError
from config.kit import ids
from config.kit.errors import InvalidRequestError
from config.kit.money import format_nanos
from paywalls import audit, users
from paywalls.models import Paywall


def set_line(paywall: Paywall, user: str, nanos: int, *, livemode: bool, actor: str) -> int:
    """Lets a user spend down to `nanos` below zero; returns what the wallet can spend now.

    Runs in the caller's transaction.

    Raises: CreditLineInUseError when more than that is already used; InvalidRequestError in Shared
        mode.
    """
    if paywall.mode == Paywall.Mode.SHARED:
        raise InvalidRequestError("In Shared mode wallets are people's own.", param="paywall")
    end_user = users.find(paywall, user, livemode=livemode)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM billing_credit_line(%s, %s)", [end_user.id, nanos])
            before, spendable = cursor.fetchone()
    except utils.DatabaseError as error:
        if getattr(error.__cause__, "sqlstate", None) != "PW001":
            raise
        raise CreditLineInUseError(
            "More than this is already spent or held; take in money first.", param="amount"
        ) from error
    audit.record(
        paywall=paywall,
        actor=actor,
        action="user.credit_line",
        subject=ids.encode("usr", end_user.id),
        before={"line": format_nanos(before)},
        after={"line": format_nanos(nanos)},
    )
    return int(spendable)
