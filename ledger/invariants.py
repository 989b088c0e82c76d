"""The ledger's invariants, as queries that must find nothing. Numbers are reliability's; above I22
they are our own.

Each query returns the ids of what breaks it. All of them run in one snapshot, so they may run while
money moves. `query` looks at everything; `recent` at what a window of entries and ids touched, by
index alone, or is `query` itself where that is cheap. I18 is not a query: `ledger/chain.py`.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Invariant:
    """A name, what it promises, and the queries for what breaks the promise.

    recent: None when only the whole run can tell.
    """

    number: str
    promise: str
    query: str
    recent: str | None = None


WINDOW: Final = """
    WITH touched AS (
        SELECT DISTINCT transaction_id AS id FROM ledger_entry
        WHERE id > %(since)s AND id <= %(upto)s
    ), moved AS (
        SELECT DISTINCT account_id AS id FROM ledger_entry
        WHERE id > %(since)s AND id <= %(upto)s
    ), used AS (
        SELECT id FROM moved UNION SELECT account_id FROM ledger_hold WHERE state = 0
    )
"""
"""Stands before each `recent`: transactions and accounts with new entries; accounts that are or may
have been held.
"""

LEDGER: Final = (
    Invariant(
        "I1",
        "every transaction balances and has at least two entries",
        """
        SELECT coalesce(t.id, e.id) FROM ledger_transaction t FULL JOIN (
            SELECT transaction_id AS id, sum(amount) AS nanos, count(*) AS legs
            FROM ledger_entry GROUP BY 1
        ) e ON e.id = t.id
        WHERE e.nanos IS DISTINCT FROM 0 OR e.legs < 2 OR t.id IS NULL
        """,
        """
        SELECT n.id FROM touched n JOIN ledger_entry e ON e.transaction_id = n.id
        LEFT JOIN ledger_transaction t ON t.id = n.id
        GROUP BY n.id HAVING sum(e.amount) <> 0 OR count(*) < 2 OR count(t.id) = 0
        UNION ALL
        SELECT t.id FROM ledger_transaction t
        WHERE t.id > %(ids_since)s AND t.id <= %(ids_upto)s
            AND NOT EXISTS (SELECT FROM ledger_entry e WHERE e.transaction_id = t.id)
        """,
    ),
    Invariant(
        "I2",
        "each currency sums to zero over the whole journal, live and test apart",
        """
        SELECT a.currency || ' ' || a.livemode FROM ledger_entry e
        LEFT JOIN ledger_account a ON a.id = e.account_id
        GROUP BY a.currency, a.livemode HAVING sum(e.amount) <> 0 OR a.currency IS NULL
        """,
        """
        SELECT a.currency || ' ' || a.livemode
        FROM touched n JOIN ledger_entry e ON e.transaction_id = n.id
        LEFT JOIN ledger_account a ON a.id = e.account_id
        GROUP BY a.currency, a.livemode HAVING sum(e.amount) <> 0 OR a.currency IS NULL
        """,
    ),
    Invariant(
        "I3",
        "a wallet's balance is the sum of its entries; a roll-up is the sum up to its watermark",
        """
        SELECT a.id FROM ledger_account a LEFT JOIN ledger_entry e ON e.account_id = a.id
        WHERE a.floor IS NOT NULL GROUP BY a.id HAVING a.posted <> coalesce(sum(e.amount), 0)
        UNION ALL
        SELECT r.account_id FROM ledger_rollup r LEFT JOIN ledger_entry e
            ON e.account_id = r.account_id
            AND e.id <= (SELECT rolled_upto FROM ledger_sweep WHERE id = 2)
        GROUP BY r.account_id, r.posted HAVING r.posted <> coalesce(sum(e.amount), 0)
        """,
        """
        SELECT a.id FROM moved JOIN ledger_account a ON a.id = moved.id, LATERAL (
            SELECT balance_after, account_version FROM ledger_entry
            WHERE account_id = a.id ORDER BY id DESC LIMIT 1
        ) head
        WHERE a.floor IS NOT NULL AND (a.posted IS DISTINCT FROM head.balance_after
            OR a.version IS DISTINCT FROM head.account_version)
        """,
    ),
    Invariant(
        "I4",
        "what a wallet holds is the sum of its open holds; the same for each lot",
        """
        SELECT a.id FROM ledger_account a LEFT JOIN (
            SELECT account_id, sum(amount) AS nanos FROM ledger_hold WHERE state = 0 GROUP BY 1
        ) h ON h.account_id = a.id WHERE a.held <> coalesce(h.nanos, 0)
        UNION ALL
        SELECT l.id FROM ledger_lot l LEFT JOIN (
            SELECT (part ->> 0)::uuid AS lot, sum((part ->> 1)::bigint) AS nanos
            FROM ledger_hold h, jsonb_array_elements(h.lots) AS part WHERE h.state = 0 GROUP BY 1
        ) h ON h.lot = l.id WHERE l.held <> coalesce(h.nanos, 0)
        """,
        """
        SELECT a.id FROM used JOIN ledger_account a ON a.id = used.id
        WHERE a.held <> (SELECT coalesce(sum(amount), 0) FROM ledger_hold
            WHERE account_id = a.id AND state = 0)
        UNION ALL
        SELECT l.id FROM used JOIN ledger_lot l ON l.account_id = used.id
        WHERE l.held <> (
            SELECT coalesce(sum((part ->> 1)::bigint), 0)
            FROM ledger_hold h, jsonb_array_elements(h.lots) AS part
            WHERE h.account_id = l.account_id AND h.state = 0 AND (part ->> 0)::uuid = l.id)
        """,
    ),
    Invariant(
        "I5",
        "no wallet is below its floor, and its free lots are not more than it has free",
        """
        SELECT id FROM ledger_account WHERE posted - held < floor
        UNION ALL
        SELECT a.id FROM ledger_account a JOIN ledger_lot l ON l.account_id = a.id
        GROUP BY a.id HAVING sum(l.remaining - l.held) > a.posted - a.held - a.floor
        """,
        """
        SELECT a.id FROM used JOIN ledger_account a ON a.id = used.id
        LEFT JOIN ledger_lot l ON l.account_id = a.id
        GROUP BY a.id HAVING a.posted - a.held < a.floor
            OR sum(l.remaining - l.held) > a.posted - a.held - a.floor
        """,
    ),
    Invariant(
        "I6",
        "balances and versions of an account's entries form an unbroken chain",
        """
        SELECT DISTINCT account_id FROM (
            SELECT e.account_id, e.amount, e.balance_after, e.account_version,
                lag(e.balance_after, 1, 0::bigint) OVER w AS balance_before,
                lag(e.account_version, 1, 0::bigint) OVER w AS version_before
            FROM ledger_entry e JOIN ledger_account a ON a.id = e.account_id
            WHERE a.floor IS NOT NULL WINDOW w AS (PARTITION BY e.account_id ORDER BY e.id)
        ) chain
        WHERE balance_after IS DISTINCT FROM balance_before + amount
            OR account_version IS DISTINCT FROM version_before + 1
        UNION ALL
        SELECT a.id FROM ledger_account a LEFT JOIN (
            SELECT account_id, max(account_version) AS version FROM ledger_entry GROUP BY 1
        ) e ON e.account_id = a.id
        WHERE a.floor IS NOT NULL AND a.version <> coalesce(e.version, 0)
        """,
        """
        SELECT DISTINCT account_id FROM (
            SELECT e.account_id, e.amount, e.balance_after, e.account_version,
                lag(e.balance_after) OVER w AS balance_before,
                lag(e.account_version) OVER w AS version_before
            FROM ledger_entry e JOIN ledger_account a ON a.id = e.account_id
            WHERE e.id > %(since)s AND e.id <= %(upto)s AND a.floor IS NOT NULL
            WINDOW w AS (PARTITION BY e.account_id ORDER BY e.id)
        ) chain LEFT JOIN LATERAL (
            SELECT p.balance_after AS balance, p.account_version AS version FROM ledger_entry p
            WHERE p.account_id = chain.account_id AND p.id <= %(since)s
                AND chain.version_before IS NULL
            ORDER BY p.id DESC LIMIT 1
        ) older ON true
        WHERE balance_after
                IS DISTINCT FROM coalesce(balance_before, older.balance, 0) + amount
            OR account_version IS DISTINCT FROM coalesce(version_before, older.version, 0) + 1
        """,
    ),
    Invariant(
        "I7",
        "a settled hold took what its charge took; every charge has exactly one hold",
        """
        SELECT h.id FROM ledger_hold h
        LEFT JOIN ledger_entry e
            ON e.transaction_id = h.transaction_id AND e.account_id = h.account_id
        WHERE h.state = 1 AND e.amount IS DISTINCT FROM -h.settled
        UNION ALL
        SELECT coalesce(h.id, t.id) FROM (
            SELECT id, transaction_id FROM ledger_hold WHERE state = 1
        ) h FULL JOIN (
            SELECT id, request_id FROM ledger_transaction WHERE kind = 'charge'
        ) t ON t.id = h.transaction_id AND t.request_id = h.id
        WHERE h.id IS NULL OR t.id IS NULL
        """,
        """
        SELECT t.id FROM touched n JOIN ledger_transaction t ON t.id = n.id
        LEFT JOIN ledger_hold h ON h.id = t.request_id AND h.transaction_id = t.id
        LEFT JOIN ledger_entry e ON e.transaction_id = t.id AND e.account_id = h.account_id
        WHERE t.kind = 'charge' AND (h.id IS NULL OR e.amount IS DISTINCT FROM -h.settled)
        UNION ALL
        SELECT h.id FROM ledger_hold h
        WHERE h.id > %(ids_since)s AND h.id <= %(ids_upto)s AND h.state = 1
            AND NOT EXISTS (SELECT FROM ledger_transaction t WHERE t.id = h.transaction_id)
        """,
    ),
    Invariant(
        "I8",
        "no hold stays open past its lease and two minutes of grace",
        LATE_HOLDS := """
        SELECT id FROM ledger_hold
        WHERE state = 0 AND lease_until < clock_timestamp() - interval '2 minutes'
            AND NOT EXISTS (SELECT FROM ledger_sweep WHERE grace_until > clock_timestamp())
        """,
        LATE_HOLDS,
    ),
    Invariant(
        "I9",
        "a hold ended after it began, within its amount",
        """
        SELECT id FROM ledger_hold
        WHERE resolved_at < created_at OR settled > amount OR (state = 0) <> (resolved_at IS NULL)
        """,
        """
        SELECT id FROM ledger_hold
        WHERE id > %(ids_since)s AND id <= %(ids_upto)s AND (resolved_at < created_at
            OR settled > amount OR (state = 0) <> (resolved_at IS NULL))
        """,
    ),
    Invariant(
        "I12",
        "reversals of a charge never pass it",
        """
        SELECT t.id FROM ledger_transaction t
        JOIN ledger_transaction r ON r.reverses_id = t.id
        JOIN ledger_entry taken ON taken.transaction_id = t.id AND taken.amount < 0
        JOIN ledger_entry back
            ON back.transaction_id = r.id AND back.account_id = taken.account_id
        GROUP BY t.id, taken.amount HAVING sum(back.amount) > -taken.amount
        """,
        """
        SELECT reversed.id FROM (
            SELECT DISTINCT t.reverses_id AS id
            FROM touched n JOIN ledger_transaction t ON t.id = n.id
            WHERE t.reverses_id IS NOT NULL
        ) reversed
        JOIN ledger_transaction r ON r.reverses_id = reversed.id
        JOIN ledger_entry taken ON taken.transaction_id = reversed.id AND taken.amount < 0
        JOIN ledger_entry back
            ON back.transaction_id = r.id AND back.account_id = taken.account_id
        GROUP BY reversed.id, taken.amount HAVING sum(back.amount) > -taken.amount
        """,
    ),
    Invariant(
        "I15",
        "one currency and one mode (live or test) in a transaction",
        """
        SELECT e.transaction_id FROM ledger_entry e JOIN ledger_account a ON a.id = e.account_id
        GROUP BY 1 HAVING min(a.currency) <> max(a.currency)
            OR bool_or(a.livemode) <> bool_and(a.livemode)
        """,
        """
        SELECT n.id FROM touched n JOIN ledger_entry e ON e.transaction_id = n.id
        JOIN ledger_account a ON a.id = e.account_id
        GROUP BY n.id HAVING min(a.currency) <> max(a.currency)
            OR bool_or(a.livemode) <> bool_and(a.livemode)
        """,
    ),
    Invariant(
        "I22",
        "no amount is beyond a billion units",
        "SELECT id FROM ledger_entry WHERE abs(amount) > 1000000000000000000",
        """
        SELECT id FROM ledger_entry
        WHERE id > %(since)s AND id <= %(upto)s AND abs(amount) > 1000000000000000000
        """,
    ),
    Invariant(
        "I24",
        "what a wallet owes is the balance of its receivable",
        """
        SELECT a.id FROM ledger_account a
        LEFT JOIN ledger_account r ON r.kind = 'receivable' AND r.owner = a.owner
            AND r.currency = a.currency AND r.livemode = a.livemode
        WHERE a.kind IN ('wallet', 'earnings') AND (a.owed > 0 OR r.id IS NOT NULL)
            AND a.owed <> -coalesce((
                SELECT sum(amount) FROM ledger_entry WHERE account_id = r.id), 0)
        """,
        """
        SELECT a.id FROM moved JOIN ledger_account a ON a.id = moved.id
        LEFT JOIN ledger_account r ON r.kind = 'receivable' AND r.owner = a.owner
            AND r.currency = a.currency AND r.livemode = a.livemode
        WHERE a.kind IN ('wallet', 'earnings') AND (a.owed > 0 OR r.id IS NOT NULL)
            AND a.owed <> -coalesce((
                SELECT sum(amount) FROM ledger_entry WHERE account_id = r.id), 0)
        """,
    ),
    Invariant(
        "I25",
        "nothing that expired more than an hour ago is still unbooked",
        UNBOOKED := """
        SELECT id FROM ledger_lot
        WHERE remaining > held AND remaining > 0
            AND expires_at < clock_timestamp() - interval '1 hour'
        """,
        UNBOOKED,
    ),
)
