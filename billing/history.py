"""A wallet's history: what happened on it, with what each movement was for."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final
from uuid import UUID

from django.db import connection

from billing.types import Page
from config.kit.limits import PAGE_ROWS

LINES: Final = """
    SELECT e.id, e.transaction_id, t.kind, e.amount, e.balance_after, e.created_at,
        t.request_id, coalesce(c.model, '')
    FROM (
        SELECT id, transaction_id, amount, balance_after, created_at FROM ledger_entry
        WHERE account_id = ANY(ARRAY[%s]::uuid[])
            AND id < coalesce(%s::bigint, 9223372036854775807)
        ORDER BY account_id DESC, id DESC LIMIT %s + 1
    ) e
    JOIN ledger_transaction t ON t.id = e.transaction_id
    LEFT JOIN billing_charge c ON c.transaction_id = e.transaction_id
    ORDER BY e.id DESC
"""
"""Asks for the wallet's account, the entry to continue before or null, and how many rows. One more
tells whether there are more. Why a list of one account: `ledger.balances`."""

SHARED_LINES: Final = """
    SELECT e.id, s.transaction_id, t.kind, e.amount, e.balance_after, e.created_at, t.request_id,
        coalesce(c.model, '')
    FROM (
        SELECT transaction_id FROM billing_split
        WHERE transaction_id < coalesce(
                (SELECT transaction_id FROM ledger_entry WHERE id = %s::bigint),
                'ffffffff-ffff-ffff-ffff-ffffffffffff')
            AND user_id = ANY(ARRAY[%s]::uuid[])
        ORDER BY user_id DESC, transaction_id DESC LIMIT %s + 1
    ) s
    JOIN ledger_transaction t ON t.id = s.transaction_id
    JOIN ledger_entry e ON e.transaction_id = s.transaction_id
    JOIN ledger_account a ON a.id = e.account_id AND a.kind = 'wallet'
    LEFT JOIN billing_charge c ON c.transaction_id = s.transaction_id
    ORDER BY s.transaction_id DESC
"""
"""The same for one user of a Shared paywall: asks for the entry to continue before or null, the end
user's own id, and how many rows."""

LABELS: Final = """
    SELECT id, run, feature FROM billing_request WHERE id = ANY(%s) AND id >= %s AND id <= %s
"""
"""Apart and with bounds, so that only the months of these requests are looked into."""

TOTALS: Final = """
    SELECT run, feature, count(*), coalesce(sum(charged), 0)::bigint, min(created_at),
        max(created_at) AS latest
    FROM (
        SELECT run, feature, charged, created_at FROM billing_request
        WHERE user_id = ANY(ARRAY[%s]::uuid[]) ORDER BY user_id DESC, id DESC LIMIT %s
    ) r
    GROUP BY GROUPING SETS ((), (run), (feature)) ORDER BY latest DESC
"""
"""Asks for the end user's own id and how many requests to add up. All, by run, and by feature."""

TOTALS_OF: Final = 2_000
"""Requests of one user that totals add up: the newest."""

type Rows = Sequence[tuple[Any, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """What the requests of one run or feature were charged together, in nanos."""

    name: str
    requests: int
    charged_nanos: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Sums of a user's newest requests, the last used first, PAGE_ROWS at most of each.

    since: the oldest request in the sums where there are older ones outside; None: all are in.
    """

    runs: tuple[Total, ...]
    features: tuple[Total, ...]
    since: dt.datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryLine:
    """One movement on a wallet. Amounts in nanos.

    model, run, feature are empty where the movement is no request's; run and feature also once the
    request's month was dropped.
    """

    entry_id: int
    transaction_id: UUID
    kind: str
    amount_nanos: int
    balance_after_nanos: int
    created_at: dt.datetime
    request_id: UUID | None
    model: str
    run: str
    feature: str


def history(
    wallet_id: UUID, *, before: int | None = None, rows: int = PAGE_ROWS
) -> Page[HistoryLine, int]:
    """The newest movements of a wallet, or those before the entry `before`."""
    with connection.cursor() as cursor:
        cursor.execute(LINES, [wallet_id, before, rows])
        found = cursor.fetchall()
        cursor.execute(LABELS, label_arguments(found))
        return history_page(found, cursor.fetchall(), rows)


def label_arguments(found: Rows) -> list[Any]:
    """The requests among the movements that LINES found, with the least and the greatest."""
    requests = [row[6] for row in found if row[6] is not None]
    return [requests, min(requests, default=None), max(requests, default=None)]


def history_page(found: Rows, labels: Rows, rows: int) -> Page[HistoryLine, int]:
    """A page of what LINES and LABELS found."""
    label_of = {request_id: (run, feature) for request_id, run, feature in labels}
    lines = tuple(
        HistoryLine(
            **dict(zip(COLUMNS, row, strict=True)),
            **dict(zip(("run", "feature"), label_of.get(row[6], ("", "")), strict=True)),
        )
        for row in found[:rows]
    )
    return Page(items=lines, next=lines[-1].entry_id if len(found) > rows else None)


def totals(user_id: UUID) -> Totals:
    """What an end user's newest requests were charged, by run and by feature."""
    with connection.cursor() as cursor:
        cursor.execute(TOTALS, [user_id, TOTALS_OF])
        return totals_of(cursor.fetchall())


def totals_of(found: Rows) -> Totals:
    """What TOTALS found. Requests without a run or a feature are in no sum."""
    runs: list[Total] = []
    features: list[Total] = []
    since = None
    for run, feature, requests, charged, oldest, _latest in found:
        if run is None and feature is None:
            since = oldest if requests == TOTALS_OF else None
        elif name := run or feature:
            total = Total(name=name, requests=requests, charged_nanos=charged)
            (runs if run else features).append(total)
    return Totals(runs=tuple(runs[:PAGE_ROWS]), features=tuple(features[:PAGE_ROWS]), since=since)


COLUMNS: Final = tuple(field.name for field in fields(HistoryLine))[:-2]
"""In the order in which LINES selects them."""
