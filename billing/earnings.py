"""What teams earn in Shared mode: pending until it clears, then theirs to withdraw.

A charge credits pending earnings; refunds and disputes take from them first, and from cleared ones
only what is beyond. What is beyond both is owed, and blocks withdrawals until it is earned again.
"""

import datetime as dt
import hashlib
from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import UUID

import orjson
import structlog
from django.conf import settings
from django.db import connection, transaction, utils

from billing.errors import IdempotencyMismatchError
from billing.movements import OTHER_MOVEMENT, Reason
from billing.withdrawals import terms
from config.kit import ids
from config.kit.errors import InvalidRequestError
from config.kit.money import AMOUNT_NANOS_MAX, format_nanos
from ledger.balances import StatementLine, statement
from ledger.models import Account
from paywalls.models import Team

log = structlog.get_logger(__name__)

YOUNG: Final = """
    SELECT (e.created_at AT TIME ZONE 'UTC')::date, sum(e.amount)
    FROM ledger_entry e
    WHERE e.account_id = %(account)s AND e.id > coalesce((
            SELECT max(upto) FROM billing_clearing WHERE account_id = %(account)s), 0)
        AND NOT EXISTS (SELECT FROM billing_clearing c WHERE c.transaction_id = e.transaction_id)
    GROUP BY 1 ORDER BY 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Earnings:
    """Where a team's earnings stand. Nanos.

    pending may be negative for a moment; reserve: what stays of cleared; owed: what must be earned
    again first; available: what can be withdrawn now. All in the platform's currency.
    """

    pending_nanos: int
    cleared_nanos: int
    owed_nanos: int
    reserve_nanos: int
    available_nanos: int

    @classmethod
    def of(cls, facts: dict[str, Any]) -> "Earnings":
        """From the object that the database answers."""
        names = ("pending", "cleared", "owed", "reserve", "available")
        return cls(**{f"{name}_nanos": int(facts[name]) for name in names})


def read(team: Team, *, livemode: bool) -> Earnings:
    """Zeros for a team that never earned."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT billing_earnings(%s, %s, %s)::text",
            [team.pk, settings.PLATFORM_CURRENCY, livemode],
        )
        (text,) = cursor.fetchone()
    return Earnings.of(orjson.loads(text))


def forecast(team: Team, *, livemode: bool) -> list[tuple[dt.date, int]]:
    """On which day how much clears by the terms in force, should nothing be taken back. Nanos."""
    account = _account("earnings_pending", team, livemode=livemode)
    if account is None:
        return []
    days = terms.in_force().clearing_days
    after = dt.timedelta(days=days + 1 if days else 0)
    with connection.cursor() as cursor:
        cursor.execute(YOUNG, {"account": account.pk})
        return [(day + after, int(nanos)) for day, nanos in cursor.fetchall()]


def lines(team: Team, *, livemode: bool) -> list[StatementLine]:
    """The newest movements of cleared earnings."""
    account = _account("earnings", team, livemode=livemode)
    return statement(account.pk) if account else []


def clear_due() -> int:
    """Clears what is old enough, for everybody; returns for how many teams something moved.

    One after the other, each in a transaction of its own: one that fails stops no other.
    """
    moved = 0
    for account_id in Account.objects.filter(kind="earnings_pending").values_list("id", flat=True):
        try:
            moved += bool(clear(account_id))
        except utils.DatabaseError as error:
            log.exception("earnings.not_cleared", account=str(account_id), error=str(error))
    return moved


def clear(account_id: UUID) -> int:
    """Clears one account of pending earnings; returns the nanos that moved."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT billing_clear(%s)", [account_id])
        return int(cursor.fetchone()[0])


def take_back(
    team: Team,
    amount_nanos: int,
    why: Reason,
    *,
    livemode: bool,
    to: Literal["processor", "external"] = "external",
) -> Earnings:
    """Takes earnings back, for a dispute that was lost or as a correction; what is not there is
    owed. The same reference again takes nothing more.

    Raises: InvalidRequestError, IdempotencyMismatchError.
    """
    if not 0 < amount_nanos <= AMOUNT_NANOS_MAX:
        raise InvalidRequestError(
            f"The amount must be above 0 and at most {format_nanos(AMOUNT_NANOS_MAX)}.",
            param="amount",
        )
    transaction_id = ids.uuid7()
    said = f"{team.pk}\n{amount_nanos}\n{to}\n{why.reason}"
    movement = {
        "id": transaction_id,
        "ref": why.ref or str(transaction_id),
        "print": hashlib.sha256(said.encode()).hexdigest() if why.ref else None,
        "team": team.pk,
        "cur": settings.PLATFORM_CURRENCY,
        "live": livemode,
        "amount": amount_nanos,
        "actor": why.actor,
        "reason": why.reason,
        "to": to,
    }
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            text = orjson.dumps(movement).decode()
            cursor.execute("SELECT billing_take_back(%s::jsonb)::text", [text])
            (text,) = cursor.fetchone()
    except utils.DatabaseError as error:
        if getattr(error.__cause__, "sqlstate", None) == "PW002":
            raise IdempotencyMismatchError(OTHER_MOVEMENT) from error
        raise
    return Earnings.of(orjson.loads(text))


def _account(kind: str, team: Team, *, livemode: bool) -> Account | None:
    currency = settings.PLATFORM_CURRENCY
    found = Account.objects.filter(kind=kind, owner=team.pk, livemode=livemode, currency=currency)
    return found.first()
