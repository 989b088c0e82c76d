"""Plans that must not change with size: made on small tables, they serve large ones.

The planner is asked as the gate's connections ask it: one plan for all values, no whole tables.
"""

import psycopg
import pytest
from django.conf import settings
from psycopg import sql

from billing.database import OPTIONS
from billing.history import LINES
from billing.request_log import EVERYTHING, LOOKED_AT_MAX, OLDEST, PAGE, Filter, _looked_at
from config.kit import ids
from ledger.balances import STATEMENT

SOMETHING = ids.uuid7()
HOLD = "SELECT FROM ledger_hold WHERE id = %s AND state = 0"
BY_ACCOUNT = "Index Scan Backward using entry_of_account"


def plan(query, arguments) -> str:
    with psycopg.connect(settings.DATABASE_URL, options=OPTIONS, autocommit=True) as asking:
        # Of a few rows it would rather make a bitmap and sort; of many it would not.
        asking.execute("SET enable_bitmapscan = off")
        rows = asking.execute(sql.SQL("EXPLAIN ") + query, arguments, prepare=False).fetchall()
    return "\n".join(row[0] for row in rows)


def page_plan(only: Filter) -> str:
    query = sql.SQL(PAGE).format(looked_at=_looked_at(only))
    arguments = {
        "paywall": SOMETHING,
        "live": True,
        "status": only.status,
        "model": only.model,
        "key": only.user_id or SOMETHING,
        "before": SOMETHING,
        "since": OLDEST,
        "most": LOOKED_AT_MAX,
        "rows": 50,
    }
    with psycopg.connect(settings.DATABASE_URL) as literal:
        # As Django's cursors do: values written into the text.
        text = psycopg.ClientCursor(literal).mogrify(query, arguments)
    return plan(sql.SQL(text), None)


@pytest.mark.parametrize("query", [LINES, STATEMENT])
def test_a_wallets_page_follows_its_own_entries(query):
    assert BY_ACCOUNT in plan(sql.SQL(query), [SOMETHING, None, 50])


@pytest.mark.parametrize("query", [LINES, STATEMENT])
def test_no_other_index_gives_the_order_of_a_wallets_page(query, owner):
    """Without the right one it would be sorted, not read along the primary key."""
    with owner.transaction(force_rollback=True):
        owner.execute("DROP INDEX entry_of_account")
        rows = owner.execute(sql.SQL("EXPLAIN ") + sql.SQL(query), [SOMETHING, None, 50]).fetchall()
    assert any("Sort Key: ledger_entry.account_id DESC" in row[0] for row in rows)


@pytest.mark.parametrize(
    ("only", "index"),
    [
        (EVERYTHING, "_paywall_id_id_idx on"),
        (Filter(model="demo/echo-1"), "_paywall_id_id_idx on"),
        (Filter(status="failed"), "_paywall_id_id_idx1 on"),
        (Filter(user_id=SOMETHING), "_user_id_id_idx on"),
    ],
)
def test_a_list_follows_the_index_of_what_it_lists(only, index):
    found = page_plan(only)
    assert index in found
    assert "_pkey on billing_request" not in found


def test_a_hold_is_found_among_the_open_ones_by_its_id():
    found = plan(sql.SQL(HOLD), [SOMETHING])
    assert "Index Cond: (id = " in found
