"""Fixtures for everyone.

Data is committed and never rolled back or flushed: the async pool could not see a test's open
transaction, and the ledger refuses TRUNCATE. So every test makes a tenant of its own, and no test
counts rows of the whole table. The product connects as its runtime role, as in production.
"""

import os
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest
from django.conf import settings
from django.db import connections
from hypothesis import Phase
from hypothesis import settings as hypothesis_settings
from psycopg import sql
from pytest_django import DjangoDbBlocker

from config.dev.servers import OWNER_ROLE
from config.kit import egress
from providers.upstream import Upstream
from tests.fakes.upstream import FakeUpstream
from tests.support.environment import database_name
from tests.support.figures import figures, pytest_terminal_summary  # noqa: F401

# A busy machine is not a failing test.
hypothesis_settings.register_profile("house", deadline=None)
hypothesis_settings.register_profile(
    "unshrunk", deadline=None, phases=[Phase.explicit, Phase.generate]
)
hypothesis_settings.load_profile("house")


@pytest.fixture(scope="session")
def django_db_setup() -> Iterator[None]:
    """This worker's own database: a copy of the migrated template, dropped at the end."""
    name = sql.Identifier(database_name())
    template = sql.Identifier(os.environ["TEST_TEMPLATE"])
    owner = sql.Identifier(OWNER_ROLE)
    with psycopg.connect(os.environ["TEST_ADMIN_URL"], autocommit=True) as admin:
        admin.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {}").format(name, template, owner)
        )
        yield
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


@pytest.fixture(scope="session", autouse=True)
def _open_database(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Every test may use the database; there is no transaction around it to ask for."""
    with django_db_blocker.unblock():
        yield
        connections.close_all()


@pytest.fixture
def _django_db_helper() -> None:
    """In the place of pytest-django's, which would wrap tests in a transaction or flush."""


@pytest.fixture
def db() -> None:
    """The database, committed to: nothing is rolled back."""


@pytest.fixture
def transactional_db() -> None:
    """The same as `db`."""


@pytest.fixture
def owner() -> Iterator[psycopg.Connection]:
    """A connection of the tables' owner, outside Django; every statement commits."""
    with psycopg.connect(settings.DATABASE_OWNER_URL, autocommit=True) as connection:
        yield connection


@pytest.fixture
def runtime() -> Iterator[psycopg.Connection]:
    """A connection of the role the product runs as, outside Django; every statement commits."""
    with psycopg.connect(settings.DATABASE_URL, autocommit=True) as connection:
        yield connection


@pytest.fixture
async def fake() -> AsyncIterator[FakeUpstream]:
    """A provider on the test's own loop, on a port of its own."""
    async with FakeUpstream() as running:
        yield running


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    """The hot path's client, which may connect to it."""
    client = Upstream(egress.policy(["127.0.0.0/8"]))
    yield client
    await client.close()
