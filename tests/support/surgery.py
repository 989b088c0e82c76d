"""A superuser's scratch transaction, for damage that no role of the product could do."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from django.db import connection

CHECKED = ("account", "entry", "hold", "lot")


@contextmanager
def surgery() -> Iterator[psycopg.Connection]:
    """Past triggers and checks; rolled back at the end. Meanwhile the tables are locked."""
    url = os.environ["TEST_ADMIN_URL"].rsplit("/", 1)[0] + f"/{connection.settings_dict['NAME']}"
    with psycopg.connect(url) as opened:
        opened.execute("SET LOCAL session_replication_role = replica")
        for table in CHECKED:
            for (check,) in opened.execute(
                "SELECT conname FROM pg_constraint WHERE contype = 'c' AND conrelid = %s::regclass",
                [f"ledger_{table}"],
            ).fetchall():
                opened.execute(f"ALTER TABLE ledger_{table} DROP CONSTRAINT {check}")
        yield opened
        opened.rollback()
