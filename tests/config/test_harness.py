"""The harness keeps its promises: the runtime role, committed data, no network."""

import socket

import psycopg
import pytest
from django.conf import settings
from django.core.cache import cache
from django.db import connection

from config.dev.servers import APP_ROLE


def test_the_product_does_not_own_its_tables():
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user, usesuper FROM pg_user WHERE usename = current_user")
        assert cursor.fetchone() == (APP_ROLE, False)
        cursor.execute("SELECT count(*) FROM pg_tables WHERE tableowner = current_user")
        assert cursor.fetchone() == (0,)


def test_there_is_no_transaction_around_a_test():
    assert not connection.in_atomic_block


async def test_an_async_connection_sees_the_same_database():
    async with await psycopg.AsyncConnection.connect(settings.DATABASE_URL) as other:
        row = await (await other.execute("SELECT current_database()")).fetchone()
    assert row == (settings.DATABASES["default"]["NAME"],)


def test_valkey_answers():
    cache.set("harness", "here", timeout=5)
    assert cache.get("harness") == "here"


def test_only_this_machine_can_be_reached():
    with pytest.raises(UserWarning, match="tried to use"):
        socket.create_connection(("192.0.2.1", 80), timeout=1)
