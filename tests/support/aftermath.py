"""What must be so after every test that had its way with the running product.

    @pytest.fixture
    def shop(product, fake, aftermath): ...

It looks at all that the test did to this worker's database, and at the logs of `product` and of
those that `start` started. A test may end in disorder; within a lease and a sweep nothing of it is
left. The books are looked at when the file is done.
"""

import re
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
from django.conf import settings

from tests.support.chats import PROMPT
from tests.support.product import LEASE_S, PROVIDER_KEY, Server, reap

GRACE_S: Final = 30.0
"""For a sweep, and for a settlement that is under way."""

SECRETS: Final = re.compile(
    rb"|".join(
        [
            re.escape(PROMPT.encode()),
            re.escape(PROVIDER_KEY.encode()),
            rb"sk-paywalls-(?:v1|test)-\w{30,}",
            rb"sk-secretsecret",  # What the fake provider's refusals betray.
            rb"secret_host",
        ]
    )
)
"""Prompts, the provider's key, paywall keys, and what providers must not be quoted with."""

OPEN_HOLDS: Final = "SELECT count(*) FROM ledger_hold WHERE state = 0 AND created_at >= %s"
FORGOTTEN: Final = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND state LIKE 'idle in transaction%'
"""


@pytest.fixture
def aftermath(product: Server, tmp_path: Path, books: None) -> Iterator[None]:
    """After the test nothing is held, forgotten or betrayed, and in the end the books are right."""
    log = product.child.log
    seen = log.stat().st_size
    began = _scalar("SELECT clock_timestamp()")
    yield
    _within(LEASE_S + GRACE_S, "holds are still open", lambda: _is_nothing_held(began))
    _within(GRACE_S, "a connection is idle in transaction", lambda: not _scalar(FORGOTTEN))
    texts = [log.read_bytes()[seen:], *(each.read_bytes() for each in tmp_path.glob("*.log"))]
    assert betrayed(texts) == []


def betrayed(texts: Iterable[bytes]) -> list[bytes]:
    """The lines of logs that hold a secret."""
    return [line for text in texts for line in text.splitlines() if SECRETS.search(line)]


def _is_nothing_held(began: object) -> bool:
    reap()
    return not _scalar(OPEN_HOLDS, began)


def _within(seconds: float, what: str, is_so: Callable[[], bool]) -> None:
    ends = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < ends, f"{what} {seconds} s after the test"
        time.sleep(0.05)


def _scalar(query: str, *arguments: object) -> Any:
    with psycopg.connect(settings.DATABASE_URL) as connection:
        row = connection.execute(query.encode(), arguments or None).fetchone()
    assert row is not None
    return row[0]
