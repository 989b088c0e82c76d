"""Time that passes at Stripe's stand-in and in the ledger alike."""

import datetime as dt
import os
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from django.db import connection

from config.kit import clock
from tests.stripe.till import Till

NOW = """
    CREATE OR REPLACE FUNCTION ledger_now(p_livemode boolean) RETURNS timestamptz LANGUAGE sql
    VOLATILE AS 'SELECT clock_timestamp(){}'
"""


class Calendar:
    """Both clocks, ahead of ours by the same."""

    def __init__(self, till: Till) -> None:
        self.till = till
        self.ahead = dt.timedelta()

    def now(self) -> dt.datetime:
        return clock.now() + self.ahead

    def pass_(self, more: dt.timedelta) -> None:
        self.till.fake.test("clock", "advance", seconds=int(more.total_seconds()))
        self.ahead += dt.timedelta(seconds=int(more.total_seconds()))
        replace(f" + interval ''{int(self.ahead.total_seconds())} seconds''")

    def to(self, moment: dt.datetime) -> None:
        """A little after it."""
        self.pass_(moment - self.now() + dt.timedelta(seconds=5))


@contextmanager
def calendar_of(till: Till) -> Iterator[Calendar]:
    """The ledger keeps our time again afterwards."""
    try:
        yield Calendar(till)
    finally:
        replace("")


def replace(more: str) -> None:
    url = os.environ["TEST_ADMIN_URL"].rsplit("/", 1)[0] + f"/{connection.settings_dict['NAME']}"
    with psycopg.connect(url, autocommit=True) as opened:
        opened.execute(NOW.format(more))
