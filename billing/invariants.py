"""Invariants between the ledger and what billing keeps beside it.

As in `ledger/invariants.py`: `query` over everything, `recent` over a window.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final
from uuid import UUID

import orjson

from billing.split_invariants import ALLOWED, SPLITS
from billing.withdrawals.invariants import PAYOUTS
from ledger.invariants import Invariant
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
        """
        SELECT h.id FROM ledger_hold h
        WHERE h.id > %(ids_since)s AND h.id <= %(ids_upto)s
            AND h.id > (SELECT id FROM billing_request ORDER BY id LIMIT 1)
            AND h.state <> 0 AND h.facts IS NOT NULL
            AND NOT EXISTS (SELECT FROM billing_request r WHERE r.id = h.id)
        UNION ALL
        SELECT r.id FROM billing_request r
        WHERE r.id > %(ids_since)s AND r.id <= %(ids_upto)s AND r.charged = 0 AND r.policy = ''
        UNION ALL
        SELECT t.id FROM touched n JOIN ledger_transaction t ON t.id = n.id
        LEFT JOIN billing_charge c ON c.transaction_id = t.id
        WHERE t.kind = 'charge' AND c.transaction_id IS NULL
        """,
    ),
    Invariant(
        "I11",
        "what Stripe was paid, and each code, is booked once with its credit, and nothing else is",
        """
        SELECT o.id FROM billing_order o
        LEFT JOIN ledger_transaction t ON t.id = o.transaction_id AND t.kind = 'topup'
            AND t.ref IN (o.session_id, o.payment_intent_id)
        LEFT JOIN (ledger_entry e JOIN ledger_account a ON a.id = e.account_id
            AND a.kind = 'wallet') ON e.transaction_id = t.id
        WHERE o.status = 'paid' AND o.kind <> 'plan' AND (
            e.amount IS DISTINCT FROM o.credit_nanos
            OR a.currency <> o.currency OR a.livemode <> o.livemode)
        UNION ALL
        SELECT o.id FROM billing_person_order o
        LEFT JOIN ledger_transaction t ON t.id = o.transaction_id AND t.kind = 'topup'
            AND t.ref = o.session_id
        LEFT JOIN (ledger_entry e JOIN ledger_account a ON a.id = e.account_id
            AND a.kind = 'wallet') ON e.transaction_id = t.id
        WHERE o.status = 'paid' AND (e.amount IS DISTINCT FROM o.credit_nanos
            OR a.owner <> o.person_id OR a.currency <> o.currency OR a.livemode <> o.livemode)
        UNION ALL
        SELECT o.id FROM billing_order o
        LEFT JOIN billing_drip d ON d.order_id = o.id
        LEFT JOIN ledger_transaction t ON t.id = o.transaction_id AND t.kind = 'topup'
            AND starts_with(t.ref, o.invoice_id || ':')
        LEFT JOIN (ledger_entry e JOIN ledger_account a ON a.id = e.account_id
            AND a.kind = 'wallet') ON e.transaction_id = t.id
        WHERE o.status = 'paid' AND o.kind = 'plan' AND o.session_id IS NULL AND (
            e.amount IS DISTINCT FROM coalesce(d.month_nanos, o.credit_nanos)
            OR a.currency <> o.currency OR a.livemode <> o.livemode)
        UNION ALL
        SELECT o.id FROM billing_order o LEFT JOIN billing_order c
            ON c.paywall_id = o.paywall_id AND c.invoice_id = o.invoice_id
            AND c.kind = 'plan' AND c.session_id IS NULL AND c.status = 'paid'
        WHERE o.status = 'paid' AND o.kind = 'plan' AND o.session_id IS NOT NULL
            AND o.credit_nanos > 0 AND c.id IS NULL
        UNION ALL
        SELECT d.order_id FROM billing_drip d JOIN billing_order o ON o.id = d.order_id LEFT JOIN (
            SELECT a.owner, split_part(t.ref, ':', 1) AS invoice_id,
                count(*) AS months, sum(e.amount) AS nanos
            FROM ledger_transaction t JOIN ledger_entry e ON e.transaction_id = t.id
            JOIN ledger_account a ON a.id = e.account_id AND a.kind = 'wallet'
            WHERE t.kind = 'topup' AND split_part(t.ref, ':', 2) ~ '^month-' GROUP BY 1, 2
        ) l ON l.invoice_id = o.invoice_id AND l.owner = o.user_id
        WHERE (d.given, d.given_nanos) <> (coalesce(l.months, 0), coalesce(l.nanos, 0))
        UNION ALL
        SELECT t.id FROM ledger_transaction t
        LEFT JOIN billing_order o ON o.transaction_id = t.id AND o.status = 'paid'
        LEFT JOIN (billing_drip d JOIN billing_order c ON c.id = d.order_id)
            ON split_part(t.ref, ':', 2) ~ '^month-' AND c.invoice_id = split_part(t.ref, ':', 1)
            AND starts_with(t.scope, 'topup:' || c.paywall_id)
        LEFT JOIN billing_person_order p ON p.transaction_id = t.id AND p.status = 'paid'
        WHERE t.kind = 'topup' AND left(t.ref, 3) IN ('cs_', 'pi_', 'in_')
            AND o.id IS NULL AND d.order_id IS NULL AND p.id IS NULL
        UNION ALL
        SELECT coalesce(p.id, l.id) FROM billing_promo p FULL JOIN (
            SELECT t.id, split_part(t.ref, ':', 2) AS promo,
                split_part(t.scope, ':', 2) AS paywall, e.amount
            FROM ledger_transaction t JOIN ledger_entry e ON e.transaction_id = t.id
            JOIN ledger_account a ON a.id = e.account_id AND a.kind = 'wallet'
            WHERE t.kind = 'bonus' AND t.actor = 'promo'
        ) l ON l.promo = p.id::text AND l.paywall = p.paywall_id::text AND l.amount = p.credit_nanos
        GROUP BY 1, p.id HAVING p.id IS NULL OR count(l.id) <> p.uses
        """,
    ),
    *PAYOUTS,
    *SPLITS,
    Invariant(
        "I16",
        "a charge touches one paywall's money; in Shared mode the wallet's owner allowed it",
        f"""
        SELECT c.transaction_id FROM billing_charge c
        LEFT JOIN paywalls_paywall w ON w.id = c.paywall_id
        JOIN ledger_entry e ON e.transaction_id = c.transaction_id
        JOIN ledger_account a ON a.id = e.account_id
        LEFT JOIN paywalls_enduser u ON u.wallet_id = a.id AND u.paywall_id = c.paywall_id
        WHERE w.mode IS DISTINCT FROM 'shared' AND ((a.kind = 'wallet' AND u.id IS NULL)
            OR (a.kind = 'revenue' AND a.owner <> c.paywall_id)
            OR a.kind NOT IN ('wallet', 'revenue'))
        UNION ALL {ALLOWED[0]}
        """,  # noqa: S608 - a query of ours.
        f"""
        SELECT c.transaction_id FROM touched n
        JOIN billing_charge c ON c.transaction_id = n.id
        LEFT JOIN paywalls_paywall w ON w.id = c.paywall_id
        JOIN ledger_entry e ON e.transaction_id = n.id
        JOIN ledger_account a ON a.id = e.account_id
        LEFT JOIN paywalls_enduser u ON u.wallet_id = a.id AND u.paywall_id = c.paywall_id
        WHERE w.mode IS DISTINCT FROM 'shared' AND ((a.kind = 'wallet' AND u.id IS NULL)
            OR (a.kind = 'revenue' AND a.owner <> c.paywall_id)
            OR a.kind NOT IN ('wallet', 'revenue'))
        UNION ALL {ALLOWED[1]}
        """,  # noqa: S608 - a query of ours.
    ),
    Invariant(
        "I17",
        "every remembered chat key belongs to a request that was reserved",
        """
        SELECT i.request_id FROM billing_idempotency i
        WHERE NOT EXISTS (SELECT FROM ledger_hold h WHERE h.id = i.request_id)
        """,
    ),
    Invariant(
        "I20",
        "no delivery of an event is pending an hour after it was due",
        LATE_DELIVERIES := """
        SELECT id FROM billing_delivery
        WHERE status = 'pending' AND due_at < clock_timestamp() - interval '1 hour'
        """,
        LATE_DELIVERIES,
    ),
    Invariant(
        "I21",
        "what a refund or dispute has taken from a wallet is what the ledger booked for it",
        """
        SELECT coalesce(r.object_id, l.object_id) FROM (
            SELECT 'reversal:' || s.paywall_id || CASE WHEN s.livemode THEN '' ELSE ':test' END
                AS scope, object_id, sum(booked_nanos) AS taken
            FROM billing_reversal JOIN billing_stripe_account s ON s.id = account_id GROUP BY 1, 2
            UNION ALL
            SELECT 'reversal:person' || CASE WHEN livemode THEN '' ELSE ':test' END, id::text,
                taken_nanos
            FROM billing_person_order WHERE steps > 0
        ) r FULL JOIN (
            SELECT t.scope, split_part(t.ref, ':', 1) AS object_id, sum(e.amount) AS taken
            FROM ledger_transaction t JOIN ledger_entry e ON e.transaction_id = t.id
            JOIN ledger_account a ON a.id = e.account_id AND a.kind IN ('processor', 'promo')
            WHERE t.kind = 'reversal' GROUP BY 1, 2
        ) l ON (l.scope, l.object_id) = (r.scope, r.object_id)
        WHERE coalesce(l.taken, 0) <> coalesce(r.taken, 0)
        """,
    ),
    Invariant(
        "I23",
        "a charge's facts, its entries, its request and the day's sum say the same amount",
        """
        SELECT c.transaction_id FROM billing_charge c
        LEFT JOIN (ledger_entry e JOIN ledger_account a ON a.id = e.account_id
            AND a.kind = 'wallet') ON e.transaction_id = c.transaction_id
        LEFT JOIN billing_request r ON r.id = c.request_id
        WHERE e.amount IS DISTINCT FROM -c.charged OR r.charged <> c.charged
        UNION ALL
        SELECT coalesce(d.user_id, c.user_id) FROM (
            SELECT user_id, sum(charged) AS charged FROM billing_daily GROUP BY user_id
        ) d FULL JOIN (
            SELECT user_id, sum(charged) AS charged FROM billing_charge GROUP BY user_id
        ) c ON c.user_id = d.user_id
        WHERE coalesce(d.charged, 0) <> coalesce(c.charged, 0)
        """,
        """
        SELECT c.transaction_id FROM touched n
        JOIN billing_charge c ON c.transaction_id = n.id
        LEFT JOIN (ledger_entry e JOIN ledger_account a ON a.id = e.account_id
            AND a.kind = 'wallet') ON e.transaction_id = n.id
        LEFT JOIN billing_request r ON r.id = c.request_id
        WHERE e.amount IS DISTINCT FROM -c.charged OR r.charged <> c.charged
        """,
    ),
)

RATED: Final = Invariant(
    "I19",
    "a charge recomputes from its usage and its kept price",
    """
    SELECT c.transaction_id, c.usage::text, c.charged, r.selling::text, h.amount
    FROM billing_charge c
    JOIN paywalls_rate r ON r.id = c.rate_id JOIN ledger_hold h ON h.id = c.request_id
    WHERE c.policy <> 'recovered_partial'
    """,
    """
    SELECT c.transaction_id, c.usage::text, c.charged, r.selling::text, h.amount
    FROM touched n JOIN billing_charge c ON c.transaction_id = n.id
    JOIN paywalls_rate r ON r.id = c.rate_id JOIN ledger_hold h ON h.id = c.request_id
    WHERE c.policy <> 'recovered_partial'
    """,
)
"""Finds what must be rated again, by wrongly_rated: rating is Python's."""


def wrongly_rated(charges: Iterable[tuple[UUID, str, int, str, int]]) -> Iterator[str]:
    """Which of RATED's rows do not recompute."""
    for transaction_id, usage, charged, selling, held in charges:
        if charged != min(_price(usage, selling), held):
            yield str(transaction_id)


def _price(usage: str, selling: str) -> int:
    return price_nanos(Usage(**orjson.loads(usage)), _rates(selling))


@lru_cache(maxsize=1_024)
def _rates(selling: str) -> Rates:
    return Rates.from_dict(orjson.loads(selling))
