"""What the runtime role may do with money: call what the product calls, and no more."""

import re

import psycopg
import pytest

from ledger.grants import CALLED, READ_ONLY
from tests.support.sources import python_sources

FUNCTIONS = """
    SELECT p.proname, has_function_privilege('paywalls_app', p.oid, 'EXECUTE'), p.prosecdef,
        p.proconfig @> ARRAY['search_path=public, pg_temp'], p.prorettype = 'trigger'::regtype
    FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace
"""


@pytest.fixture
def functions(owner) -> list[tuple[str, bool, bool, bool | None, bool]]:
    found: list[tuple[str, bool, bool, bool | None, bool]] = owner.execute(FUNCTIONS).fetchall()
    return found


def test_the_runtime_role_calls_what_is_listed_and_nothing_else(functions):
    """A new one that the product calls belongs into CALLED of `ledger/grants.py`."""
    assert {name for name, may, *_ in functions if may} == set(CALLED)


def test_what_is_listed_is_called():
    text = "\n".join(s.text for s in python_sources() if not str(s.path).startswith("tests/"))
    called = set(re.findall(r"\b((?:billing|ledger|paywalls)_[a-z_]+)\(", text))
    # The gate puts these names together.
    kinds = (*GATE, *(f"shared_{call}" for call in GATE))
    called |= {f"billing_{call}_{how}" for call in kinds for how in ("one", "many")}
    assert sorted(set(CALLED) - called) == []


GATE = ("reserve", "settle", "charge")


def test_functions_with_the_owners_rights_find_only_our_tables(functions):
    assert [name for name, _, definer, fixed, _ in functions if definer and not fixed] == []


@pytest.mark.parametrize(
    "call",
    [
        "ledger_account_open('wallet', gen_random_uuid(), 'USD', true, NULL)",
        "ledger_post(gen_random_uuid(), 'bonus', 'x', 'x', NULL, NULL, '', NULL, NULL, '{}', '{}',"
        " NULL, NULL)",
        "ledger_settle(gen_random_uuid(), gen_random_uuid(), 1, gen_random_uuid(), 'x', 'x', NULL)",
    ],
)
def test_inner_functions_are_refused(runtime, call):
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="function"):
        runtime.execute(f"SELECT {call}")


@pytest.mark.parametrize("table", [name for name in READ_ONLY if name.startswith("ledger")])
def test_money_is_only_read(runtime, table):
    runtime.execute(f"SELECT * FROM {table} LIMIT 1")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        runtime.execute(f"DELETE FROM {table}")
