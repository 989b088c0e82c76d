"""Reading balances and statements."""

import datetime as dt
from dataclasses import dataclass
from uuid import UUID

from django.db import connection

from config.kit.limits import PAGE_ROWS
from ledger.models import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementLine:
    """One movement on an account, newest first in a statement. Amounts in nanos."""

    entry_id: int
    transaction_id: UUID
    kind: str
    amount_nanos: int
    balance_after_nanos: int | None
    created_at: dt.datetime


def statement(
    account_id: UUID, *, before: int | None = None, rows: int = PAGE_ROWS
) -> list[StatementLine]:
    """The newest movements of an account; `before` (an entry id) continues an earlier page."""
    entries = Entry.objects.filter(account_id=account_id).select_related("transaction")
    if before is not None:
        entries = entries.filter(id__lt=before)
    return [
        StatementLine(
            entry_id=entry.id,
            transaction_id=entry.transaction_id,
            kind=entry.transaction.kind,
            amount_nanos=entry.amount,
            balance_after_nanos=entry.balance_after,
            created_at=entry.created_at,
        )
        for entry in entries.order_by("-id")[:rows]
    ]


def balance(account_id: UUID) -> int:
    """The balance of any account in nanos, also of one without a floor; 0 when there is none."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT ledger_balance(%s)", [account_id])
        row = cursor.fetchone()
    return int(row[0] or 0) if row else 0
