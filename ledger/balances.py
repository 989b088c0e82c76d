"""Reading balances and statements."""

import datetime as dt
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from django.db import connection

from config.kit.limits import PAGE_ROWS

STATEMENT: Final = """
    SELECT e.id, e.transaction_id, t.kind, e.amount, e.balance_after, e.created_at
    FROM (
        SELECT * FROM ledger_entry
        WHERE account_id = ANY(ARRAY[%s]::uuid[])
            AND id < coalesce(%s::bigint, 9223372036854775807)
        ORDER BY account_id DESC, id DESC LIMIT %s
    ) e
    JOIN ledger_transaction t ON t.id = e.transaction_id
    ORDER BY e.id DESC
"""
"""The account is compared as a list of one and ordered by too, so that only the index of both
columns gives the order. With `account_id = …` the planner may walk the primary key backwards, past
everybody's entries, which takes for ever for a wallet that was busy once."""


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
    with connection.cursor() as cursor:
        cursor.execute(STATEMENT, [account_id, before, rows])
        return [
            StatementLine(
                entry_id=entry_id,
                transaction_id=transaction_id,
                kind=kind,
                amount_nanos=amount,
                balance_after_nanos=balance_after,
                created_at=created_at,
            )
            for entry_id, transaction_id, kind, amount, balance_after, created_at in cursor
        ]


def balance(account_id: UUID) -> int:
    """The balance of any account in nanos, also of one without a floor; 0 when there is none."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT ledger_total(%s)", [account_id])
        row = cursor.fetchone()
    return int(row[0] or 0) if row else 0
