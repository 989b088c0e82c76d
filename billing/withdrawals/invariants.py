"""What must hold between withdrawals and the ledger; see `ledger/invariants.py`."""

from typing import Final

from ledger.invariants import Invariant

WRONG: Final = """
    SELECT w.id FROM {rows} LEFT JOIN (ledger_entry e JOIN ledger_account a ON a.id = e.account_id
        AND a.kind = 'earnings') ON e.transaction_id = w.transaction_id
    WHERE e.amount IS DISTINCT FROM -w.amount OR e.balance_after < w.reserve
        OR a.owner <> w.team_id OR a.livemode <> w.livemode
    UNION ALL
    SELECT w.id FROM {rows} LEFT JOIN (ledger_entry e JOIN ledger_account a ON a.id = e.account_id
        AND a.kind = 'earnings') ON e.transaction_id = w.back_transaction_id
    WHERE (w.state IN ('failed', 'cancelled') OR w.back_transaction_id IS NOT NULL)
        AND (e.amount IS DISTINCT FROM w.amount OR w.state NOT IN ('failed', 'cancelled')
            OR a.owner <> w.team_id)
    UNION ALL
    SELECT w.id FROM {rows} LEFT JOIN (ledger_entry e JOIN ledger_account a ON a.id = e.account_id
        AND a.kind IN ('processor', 'external')) ON e.transaction_id = w.paid_transaction_id
    WHERE (w.state = 'paid' OR w.paid_transaction_id IS NOT NULL)
        AND (e.amount IS DISTINCT FROM w.net OR w.paid_at IS NULL)
    UNION ALL
    SELECT t.id FROM {movements} LEFT JOIN billing_withdrawal w
        ON t.id IN (w.transaction_id, w.paid_transaction_id, w.back_transaction_id)
        AND t.ref = w.id::text
    WHERE t.kind = 'withdrawal' AND w.id IS NULL
    UNION ALL
    SELECT a.id FROM ledger_account a WHERE a.kind = 'withdrawal' AND ledger_total(a.id) <> (
        SELECT coalesce(sum(w.amount), 0) FROM billing_withdrawal w
        WHERE w.team_id = a.owner AND w.livemode = a.livemode AND w.currency = a.currency
            AND w.state IN ('requested', 'approved', 'sent'))
"""

TOUCHED: Final = """touched n JOIN ledger_transaction t ON t.id = n.id AND t.kind = 'withdrawal'
    AND t.ref ~ '^[0-9a-f-]{36}$' JOIN billing_withdrawal w ON w.id = t.ref::uuid"""

CLEARED: Final = """
    UNION ALL
    SELECT c.account_id FROM (
        SELECT account_id, sum(nanos) AS nanos FROM billing_clearing GROUP BY 1
    ) c WHERE c.nanos <> -coalesce((
        SELECT sum(e.amount) FROM billing_clearing k
        JOIN ledger_entry e ON e.transaction_id = k.transaction_id AND e.account_id = k.account_id
        WHERE k.account_id = c.account_id), 0)
    UNION ALL
    SELECT t.id FROM ledger_transaction t LEFT JOIN billing_clearing c ON c.transaction_id = t.id
    WHERE t.kind = 'earning' AND c.transaction_id IS NULL
"""

PAYOUTS: Final = (
    Invariant(
        "I14",
        "a withdrawal took what was cleared and free of the reserve, and ended once; what is on its"
        " way is what open withdrawals say; what cleared is what its clearings say",
        WRONG.format(rows="billing_withdrawal w", movements="ledger_transaction t") + CLEARED,
        WRONG.format(rows=TOUCHED, movements="touched n JOIN ledger_transaction t ON t.id = n.id"),
    ),
)
