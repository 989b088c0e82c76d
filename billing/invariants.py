"""Invariants between the ledger and what billing keeps beside it, and the run of all of them."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import orjson
from django.db import connection, transaction

from config.kit import clock
from ledger.invariants import LEDGER, Invariant
from ledger.models import Verification
from paywalls.pricing import Rates, Usage, price_nanos

BILLING: Final = (
    Invariant(
        "I10",
        "every ended hold has its request or manual charge; a charge of nothing has its reason",
        """
        SELECT h.id FROM ledger_hold h
        WHERE h.state <> 0 AND h.facts IS NOT NULL AND h.resolved_at > (
                SELECT coalesce(min(created_at), 'infinity') FROM billing_request)
            AND NOT EXISTS (SELECT FROM billing_request r WHERE r.id = h.id)
        UNION ALL
        SELECT r.id FROM billing_request r WHERE r.charged = 0 AND r.policy = ''
        UNION ALL
        SELECT t.id FROM ledger_transaction t
        LEFT JOIN billing_charge c ON c.transaction_id = t.id
        WHERE t.kind = 'charge' AND c.transaction_id IS NULL
        """,
    ),
    Invariant(
        "I11",
        "a charge's facts, its entries, its request and the day's sum say the same amount",
        """
        SELECT c.transaction_id FROM billing_charge c
        LEFT JOIN ledger_entry e ON e.transaction_id = c.transaction_id AND e.amount < 0
        LEFT JOIN billing_request r ON r.id = c.request_id
        WHERE e.amount IS DISTINCT FROM -c.charged OR r.charged <> c.charged
        UNION ALL
        SELECT d.user_id FROM (
            SELECT user_id, sum(charged) AS charged FROM billing_daily GROUP BY user_id
        ) d FULL JOIN (
            SELECT user_id, sum(charged) AS charged FROM billing_charge GROUP BY user_id
        ) c ON c.user_id = d.user_id
        WHERE coalesce(d.charged, 0) <> coalesce(c.charged, 0)
        """,
    ),
    Invariant(
        "I16",
        "a Default charge touches the money of one paywall only",
        """
        SELECT c.transaction_id FROM billing_charge c
        JOIN ledger_entry e ON e.transaction_id = c.transaction_id
        JOIN ledger_account a ON a.id = e.account_id
        LEFT JOIN paywalls_enduser u ON u.wallet_id = a.id AND u.paywall_id = c.paywall_id
        WHERE (a.kind = 'wallet' AND u.id IS NULL)
            OR (a.kind = 'revenue' AND a.owner <> c.paywall_id)
        """,
    ),
    Invariant(
        "I17",
        "every remembered chat key belongs to a request that was reserved",
        """
        SELECT i.request_id FROM billing_idempotency i
        WHERE NOT EXISTS (SELECT FROM ledger_hold h WHERE h.id = i.request_id)
        """,
    ),
)
RATED: Final = """
    SELECT c.transaction_id, c.usage::text, c.charged, r.selling::text, h.amount
    FROM billing_charge c
    JOIN paywalls_rate r ON r.id = c.rate_id JOIN ledger_hold h ON h.id = c.request_id
    WHERE c.policy NOT IN ('recovered_partial')
"""
EXAMPLES: Final = 3
CHUNK: Final = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one invariant found: how many rows break it, and some of them."""

    number: str
    promise: str
    broken: int
    examples: tuple[str, ...]
    seconds: float


def verify() -> Iterator[Result]:
    """Runs every invariant in one snapshot, yields each result, and keeps the run.

    Opens its own atomic block; read only but for the kept run.
    """
    started = clock.now()
    results = []
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        for invariant in (*LEDGER, *BILLING):
            began = clock.now()
            cursor.execute(invariant.query)
            rows = [str(row[0]) for row in cursor.fetchall()]
            results.append(_result(invariant.number, invariant.promise, rows, began))
            yield results[-1]
        began = clock.now()
        rows = list(_wrongly_rated())
        results.append(
            _result("I19", "a charge recomputes from its usage and its kept price", rows, began)
        )
        yield results[-1]
    Verification.objects.create(
        started_at=started,
        finished_at=clock.now(),
        ok=not any(result.broken for result in results),
        results=[[r.number, r.broken, *r.examples] for r in results],
    )


def _result(number: str, promise: str, rows: list[str], began: dt.datetime) -> Result:
    return Result(
        number=number,
        promise=promise,
        broken=len(rows),
        examples=tuple(rows[:EXAMPLES]),
        seconds=(clock.now() - began).total_seconds(),
    )


def _wrongly_rated() -> Iterator[str]:
    """Charges that do not recompute; rating is Python's, so this is not a query."""
    with connection.chunked_cursor() as cursor:
        cursor.execute(RATED)
        while rows := cursor.fetchmany(CHUNK):
            for transaction_id, usage, charged, selling, held in rows:
                if charged != min(_price(usage, selling), held):
                    yield str(transaction_id)


def _price(usage: str, selling: str) -> int:
    return price_nanos(Usage(**orjson.loads(usage)), Rates.from_dict(orjson.loads(selling)))
