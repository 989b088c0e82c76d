"""What must hold between Shared charges, who got them, and what people allowed.

See `ledger/invariants.py`. {splits} are rows of `billing_split s`; {charges} of `billing_charge c`.
"""

from typing import Final

from ledger.invariants import Invariant

OPERATOR: Final = "'00000000-0000-0000-0000-000000000000'"

WRONGLY_SHARED: Final = f"""
    SELECT c.transaction_id FROM {{charges}}
    JOIN paywalls_paywall w ON w.id = c.paywall_id AND w.mode = 'shared'
    LEFT JOIN billing_split s ON s.transaction_id = c.transaction_id
    WHERE s.transaction_id IS NULL
    UNION ALL
    SELECT s.transaction_id FROM {{splits}} JOIN paywalls_paywall w ON w.id = s.paywall_id
    CROSS JOIN LATERAL (
        SELECT sum(e.amount) FILTER (WHERE a.kind = 'wallet') AS wallet,
            coalesce(sum(e.amount) FILTER (
                WHERE a.kind = 'earnings_pending' AND a.owner = w.team_id), 0) AS earned,
            coalesce(sum(e.amount) FILTER (
                WHERE a.kind = 'platform_fee' AND a.owner = {OPERATOR}), 0) AS fee,
            coalesce(sum(e.amount) FILTER (
                WHERE a.kind = 'provider_cost' AND a.owner = {OPERATOR}), 0) AS cost
        FROM ledger_entry e JOIN ledger_account a ON a.id = e.account_id
        WHERE e.transaction_id = s.transaction_id
    ) got
    WHERE got.wallet IS DISTINCT FROM -s.cost - s.fee - s.earned OR got.earned <> s.earned
        OR got.fee <> s.fee OR got.cost <> s.cost
    UNION ALL
    SELECT s.transaction_id FROM {{splits}}
    JOIN billing_charge c ON c.transaction_id = s.transaction_id
    LEFT JOIN billing_platformfee f ON f.number = s.fee_number
    WHERE s.fee_ppm <> coalesce(f.ppm, 0)
        OR s.cost <> CASE WHEN s.built_in THEN c.provider_cost ELSE 0 END
        OR s.fee <> greatest(
            least(div(c.charged::numeric * s.fee_ppm, 1000000), c.charged - s.cost), 0)
        OR s.earned <> c.charged - s.cost - s.fee
    UNION ALL
    SELECT r.id FROM {{splits}} JOIN ledger_transaction r ON r.reverses_id = s.transaction_id
    LEFT JOIN billing_split b ON b.transaction_id = r.id
    WHERE r.kind = 'refund' AND (b.transaction_id IS NULL OR b.cost <> 0 OR b.fee > 0)
    UNION ALL
    SELECT s.transaction_id FROM {{splits}}
    JOIN ledger_transaction r ON r.reverses_id = s.transaction_id
    JOIN billing_split b ON b.transaction_id = r.id
    GROUP BY s.transaction_id, s.fee HAVING sum(b.fee) < -s.fee
"""  # noqa: S608 - a constant of ours.

NOT_ALLOWED: Final = """
    SELECT s.transaction_id FROM {splits}
    JOIN ledger_transaction t ON t.id = s.transaction_id AND t.kind = 'charge'
    JOIN ledger_hold h ON h.id = t.request_id JOIN ledger_account a ON a.id = h.account_id
    LEFT JOIN paywalls_grant g ON g.id = s.grant_id
    WHERE g.id IS NULL OR (g.paywall_id, g.end_user_id, g.person_id, g.livemode)
            IS DISTINCT FROM (s.paywall_id, s.user_id, a.owner, a.livemode)
        OR h.created_at < g.created_at - interval '1 minute'
        OR h.created_at > g.revoked_at + interval '1 minute'
"""
"""A minute: a grant's times are the application's, a hold's the database's."""

ALL: Final = {"splits": "billing_split s", "charges": "billing_charge c"}
TOUCHED: Final = {
    "splits": "touched n JOIN billing_split s ON s.transaction_id = n.id",
    "charges": "touched n JOIN billing_charge c ON c.transaction_id = n.id",
}

SPLITS: Final = (
    Invariant(
        "I13",
        "a Shared charge is what provider, platform and developer got of it; so is its refund",
        WRONGLY_SHARED.format(**ALL),
        WRONGLY_SHARED.format(**TOUCHED),
    ),
)

COUNTED: Final = """
    SELECT g.id FROM paywalls_grant g LEFT JOIN ledger_counter k ON k.id = g.id
    LEFT JOIN (
        SELECT grant_id, sum(cost + fee + earned) AS nanos FROM billing_split
        WHERE cost + fee + earned > 0 GROUP BY 1
    ) s ON s.grant_id = g.id
    LEFT JOIN (
        SELECT facts ->> 'grant' AS grant_id, sum(amount) AS nanos FROM ledger_hold
        WHERE state = 0 AND facts ? 'grant' GROUP BY 1
    ) h ON h.grant_id = g.id::text
    WHERE coalesce(k.total_spent, 0) <> coalesce(s.nanos, 0) + coalesce(h.nanos, 0)
"""
ALLOWED: Final = (f"{NOT_ALLOWED.format(**ALL)} UNION ALL {COUNTED}", NOT_ALLOWED.format(**TOUCHED))
"""The Shared half of I16, over everything and over a window."""
