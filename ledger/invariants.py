"""The ledger's invariants, as queries that must find nothing. Numbers are reliability's.

Each query returns the ids of what breaks it. All of them run in one snapshot, so they may run while
money moves.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Invariant:
    """A name, what it promises, and the query for what breaks the promise."""

    number: str
    promise: str
    query: str


LEDGER: Final = (
    Invariant(
        "I1",
        "every transaction balances and has at least two entries",
        """
        SELECT t.id FROM ledger_transaction t LEFT JOIN ledger_entry e ON e.transaction_id = t.id
        GROUP BY t.id HAVING coalesce(sum(e.amount), 0) <> 0 OR count(e.id) < 2
        UNION ALL
        SELECT e.transaction_id FROM ledger_entry e
        WHERE NOT EXISTS (SELECT FROM ledger_transaction t WHERE t.id = e.transaction_id)
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
        GROUP BY r.account_id HAVING r.posted <> coalesce(sum(e.amount), 0)
        """,
    ),
    Invariant(
        "I4",
        "what a wallet holds is the sum of its open holds; the same for each lot",
        """
        SELECT a.id FROM ledger_account a
        LEFT JOIN ledger_hold h ON h.account_id = a.id AND h.state = 0
        GROUP BY a.id HAVING a.held <> coalesce(sum(h.amount), 0)
        UNION ALL
        SELECT l.id FROM ledger_lot l LEFT JOIN (
            SELECT (part ->> 0)::uuid AS lot, sum((part ->> 1)::bigint) AS nanos
            FROM ledger_hold h, jsonb_array_elements(h.lots) AS part WHERE h.state = 0 GROUP BY 1
        ) h ON h.lot = l.id WHERE l.held <> coalesce(h.nanos, 0)
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
            WHERE a.floor IS NOT NULL
            WINDOW w AS (PARTITION BY e.account_id ORDER BY e.account_version)
        ) chain
        WHERE balance_after IS DISTINCT FROM balance_before + amount
            OR account_version IS DISTINCT FROM version_before + 1
        UNION ALL
        SELECT a.id FROM ledger_account a WHERE a.floor IS NOT NULL AND a.version <> (
            SELECT coalesce(max(account_version), 0) FROM ledger_entry WHERE account_id = a.id)
        """,
    ),
    Invariant(
        "I7",
        "a settled hold took what its charge took; every charge has exactly one hold",
        """
        SELECT h.id FROM ledger_hold h
        LEFT JOIN ledger_entry e
            ON e.transaction_id = h.transaction_id AND e.account_id = h.account_id
        WHERE h.state = 1 GROUP BY h.id HAVING coalesce(-sum(e.amount), 0) <> max(h.settled)
        UNION ALL
        SELECT t.id FROM ledger_transaction t
        LEFT JOIN ledger_hold h ON h.transaction_id = t.id
        WHERE t.kind = 'charge' GROUP BY t.id HAVING count(h.id) <> 1
        """,
    ),
    Invariant(
        "I8",
        "no hold stays open past its lease and two minutes of grace",
        """
        SELECT id FROM ledger_hold
        WHERE state = 0 AND lease_until < clock_timestamp() - interval '2 minutes'
            AND NOT EXISTS (SELECT FROM ledger_sweep WHERE grace_until > clock_timestamp())
        """,
    ),
    Invariant(
        "I9",
        "a hold ended after it began, within its amount",
        """
        SELECT id FROM ledger_hold
        WHERE resolved_at < created_at OR settled > amount OR (state = 0) <> (resolved_at IS NULL)
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
    ),
    Invariant(
        "I14",
        "what a wallet owes is the balance of its receivable",
        """
        SELECT a.id FROM ledger_account a
        LEFT JOIN ledger_account r ON r.kind = 'receivable' AND r.owner = a.owner
            AND r.currency = a.currency AND r.livemode = a.livemode
        WHERE a.kind = 'wallet' AND (a.owed > 0 OR r.id IS NOT NULL) AND a.owed <> -coalesce((
            SELECT sum(amount) FROM ledger_entry WHERE account_id = r.id), 0)
        """,
    ),
    Invariant(
        "I15",
        "one currency and one mode (live or test) in a transaction",
        """
        SELECT e.transaction_id FROM ledger_entry e JOIN ledger_account a ON a.id = e.account_id
        GROUP BY 1 HAVING count(DISTINCT a.currency) > 1 OR count(DISTINCT a.livemode) > 1
        """,
    ),
    Invariant(
        "I18",
        "the triggers that keep the ledger append-only are on",
        """
        SELECT needed.name FROM (VALUES
            ('entry_balanced'), ('entry_kept'), ('entry_not_truncated'), ('transaction_kept'),
            ('transaction_not_truncated'), ('hold_kept'), ('hold_not_truncated'),
            ('hold_ends_once'), ('account_kept'), ('account_not_truncated')
        ) AS needed (name)
        WHERE NOT EXISTS (
            SELECT FROM pg_trigger WHERE tgname = needed.name AND tgenabled IN ('O', 'A'))
        """,
    ),
    Invariant(
        "I20",
        "nothing that expired more than an hour ago is still unbooked",
        """
        SELECT id FROM ledger_lot
        WHERE remaining > held AND expires_at < clock_timestamp() - interval '1 hour'
        """,
    ),
    Invariant(
        "I22",
        "no amount is beyond a billion units",
        "SELECT id FROM ledger_entry WHERE abs(amount) > 1000000000000000000",
    ),
)
