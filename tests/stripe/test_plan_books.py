"""What the books say of plans, their months and codes, and how they notice what does not fit."""

import psycopg
import pytest
from django.db import transaction

from billing.invariants import BILLING
from billing.stripe import promos
from tests.factories import ACTOR
from tests.stripe.test_drips import yearly
from tests.stripe.test_plans import cycles, subscribed
from tests.stripe.till import UNIT, Till, new_user
from tests.support.surgery import surgery

I11 = next(each.query for each in BILLING if each.number == "I11")
CYCLE = "paywall_id = %(paywall)s AND kind = 'plan' AND session_id IS NULL"
CLICKED = "paywall_id = %(paywall)s AND kind = 'plan' AND session_id IS NOT NULL"
MINE = "scope IN ('topup:' || %(paywall)s::text, 'bonus:' || %(paywall)s::text)"
STRAY = (
    "INSERT INTO ledger_transaction (id, kind, scope, ref, actor, occurred_at, created_at)"
    " SELECT gen_random_uuid(), kind, scope, '{}_' || id || ':month-1', actor, now(), now()"
    f" FROM ledger_transaction WHERE {MINE}"
)
DAMAGE = {
    "an invoice without an order": STRAY.format("in"),
    "a payment without an order": STRAY.format("pi"),
    "a cycle's credit": f"UPDATE billing_order SET credit_nanos = 1 WHERE {CYCLE}",
    "a cycle's booking": f"UPDATE billing_order SET transaction_id = NULL WHERE {CYCLE}",
    "a cycle's currency": f"UPDATE billing_order SET currency = 'EUR' WHERE {CYCLE}",
    "a cycle's invoice": f"UPDATE billing_order SET invoice_id = 'in_other' WHERE {CYCLE}",
    "a booking's kind": f"UPDATE ledger_transaction SET kind = 'deposit' WHERE {MINE}",
    "a cycle that is gone": f"DELETE FROM billing_order WHERE {CYCLE}",
    "a cycle that is not paid": f"UPDATE billing_order SET status = 'failed' WHERE {CYCLE}",
    "a click without a cycle": f"UPDATE billing_order SET invoice_id = '' WHERE {CLICKED}",
}
OF_MONTHS = {
    "a month too many": "UPDATE billing_drip SET given = 2 WHERE order_id = %(order)s",
    "a month's credit": "UPDATE billing_drip SET given_nanos = 1 WHERE order_id = %(order)s",
    "its size": "UPDATE billing_drip SET month_nanos = 10 ^ 12 WHERE order_id = %(order)s",
    "one that is gone": "DELETE FROM billing_drip WHERE order_id = %(order)s",
    "a month booked twice": (
        "WITH more AS (INSERT INTO ledger_transaction (id, kind, scope, ref, actor, occurred_at,"
        " created_at) SELECT gen_random_uuid(), kind, scope, ref || '3', actor, now(), now()"
        f" FROM ledger_transaction WHERE {MINE} RETURNING id)"
        " INSERT INTO ledger_entry (transaction_id, account_id, amount, created_at)"
        " SELECT id, %(wallet)s, 1, now() FROM more"
    ),
}
OF_CODES = {
    "a use too many": "UPDATE billing_promo SET uses = uses + 1 WHERE paywall_id = %(paywall)s",
    "another credit": "UPDATE billing_promo SET credit_nanos = 1 WHERE paywall_id = %(paywall)s",
    "one that is gone": "DELETE FROM billing_promo WHERE paywall_id = %(paywall)s",
    "another's code": (
        "UPDATE billing_promo SET paywall_id = gen_random_uuid() WHERE paywall_id = %(paywall)s"
    ),
    "a gift that is gone": f"DELETE FROM ledger_transaction WHERE {MINE}",
}


def broken(surgeon: psycopg.Connection) -> set[str]:
    return {str(row[0]) for row in surgeon.execute(I11.encode()).fetchall()}


def unnoticed(till: Till, damages: dict[str, str]) -> list[str]:
    """Which of them the books do not notice; nothing is wrong before."""
    order = next((row.pk for row in cycles(till)), None)
    named = {"paywall": till.paywall.pk, "wallet": till.user.wallet_id, "order": order}
    found = []
    for name, damage in damages.items():
        with surgery() as surgeon:
            before = broken(surgeon)
            assert surgeon.execute(damage.encode(), named).rowcount > 0, name
            if not broken(surgeon) > before:
                found.append(name)
    return found


@pytest.mark.proves("I11")
def test_a_cycle_is_an_order_and_its_booking(till: Till):
    subscribed(till)
    assert unnoticed(till, DAMAGE) == []


@pytest.mark.proves("I11")
def test_months_are_those_that_were_given(till: Till):
    subscribed(till, yearly(till))
    assert unnoticed(till, OF_MONTHS) == []


@pytest.mark.proves("I11")
def test_a_codes_uses_are_its_gifts(till: Till):
    terms = promos.Terms(credit_nanos=UNIT, most_uses=5)
    with transaction.atomic():
        promos.add(till.paywall, "WELCOME-5", terms, actor=ACTOR)
    for user in (till.user, new_user(till.paywall)):
        promos.redeem(user, "WELCOME-5")
    assert unnoticed(till, OF_CODES) == []
