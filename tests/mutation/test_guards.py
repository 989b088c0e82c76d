"""The list of guards cannot rot: each is still where its entry says, and so are its tests."""

import os
from collections import Counter
from collections.abc import Iterator

import psycopg
import pytest

from tests.mutation.guard import Guard
from tests.mutation.guards import GUARDS
from tests.support.environment import database_name
from tests.support.sources import ROOT

DEAR = 10
"""So many that `./run faults` has the time for them."""


@pytest.fixture
def admin() -> Iterator[psycopg.Connection]:
    """May change this worker's schema, which belongs to nobody who can log in otherwise."""
    with psycopg.connect(os.environ["TEST_ADMIN_URL"], dbname=database_name()) as connection:
        yield connection


@pytest.mark.proves("F84")
@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_a_guard_can_be_taken_out(guard: Guard, admin: psycopg.Connection):
    change = guard.from_files(ROOT)
    with admin.transaction(force_rollback=True):
        admin.execute("SET LOCAL lock_timeout = '10s'")
        guard.from_database(admin)
    assert change is None or change.text != change.path.read_text()


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_its_tests_are_there(guard: Guard):
    assert guard.tests
    for test in guard.tests:
        file, *names = test.split("::")
        text = (ROOT / file).read_text()
        assert all(f" {name.partition('[')[0]}" in text for name in names), test


def test_names_are_given_once():
    assert [name for name, count in Counter(g.name for g in GUARDS).items() if count > 1] == []


def test_the_dearest_are_few():
    assert sum(guard.dear for guard in GUARDS) == DEAR
