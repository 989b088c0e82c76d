"""The ledger's health at `/metrics`."""

import math
import time
from dataclasses import replace

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings

from billing.database import Database
from billing.reads import Books, Reads
from config.kit import clock, ids
from ledger.models import Verification
from proxy import books
from proxy.metrics import Metrics

NOTHING = Books(broken={}, read_at=-math.inf)


@pytest.fixture
async def reads():
    database = Database(settings.DATABASE_URL, size=1)
    await database.open()
    yield Reads(database, encryption_keys=())
    await database.close()


@sync_to_async
def run(number: str, rows: int, *, upto: int | None) -> Verification:
    """A run that looked at one invariant."""
    return Verification.objects.create(
        started_at=clock.now(),
        finished_at=clock.now(),
        ok=not rows,
        results=[[number, rows]],
        upto=upto,
    )


@pytest.fixture
def number() -> str:
    return f"X{ids.uuid7().hex}"


class TestReading:
    async def test_what_was_found_broken_stays_so_until_everything_is_whole(self, reads, number):
        await run(number, 0, upto=None)
        assert (await reads.books()).broken[number] == 0
        await run(number, 2, upto=1)
        await run(number, 1, upto=2)
        await run(number, 0, upto=3)
        assert (await reads.books()).broken[number] == 2
        await run(number, 0, upto=None)
        assert (await reads.books()).broken[number] == 0

    async def test_what_is_found_while_a_whole_run_is_under_way_is_not_hidden_by_it(
        self, reads, number
    ):
        began = clock.now()
        await run(number, 2, upto=1)
        whole = await run(number, 0, upto=None)
        await sync_to_async(Verification.objects.filter(id=whole.id).update)(started_at=began)
        assert (await reads.books()).broken[number] == 2

    async def test_it_tells_when_that_was(self, reads, number):
        before = time.time()
        await run(number, 0, upto=None)
        await run(number, 0, upto=1)
        found = await reads.books()
        assert before - 1 < found.whole_at <= found.new_at < before + 60


class TestAsking:
    async def test_it_is_read_at_most_every_few_seconds(self, reads, number):
        first = await books.latest(NOTHING, reads.books)
        assert first is not NOTHING
        assert await books.latest(first, reads.books) is first
        old = replace(first, read_at=first.read_at - books.FRESH_S)
        assert await books.latest(old, reads.books) is not old

    async def test_a_database_that_does_not_answer_is_not_waited_for(self, monkeypatch):
        monkeypatch.setattr(books, "WAIT_S", 0.1)
        database = Database("postgresql://nobody@127.0.0.1:1/nothing", size=1)
        reads = Reads(database, encryption_keys=())
        assert await books.latest(NOTHING, reads.books) is NOTHING


def test_the_text():
    metrics = Metrics()
    metrics.books = replace(
        NOTHING, broken={"I3": 2, "I4": 0}, whole_at=1.0, new_at=2.0, checkpoint_at=3.0
    )
    text = metrics.exposition().decode()
    for line in (
        'paywalls_ledger_broken{invariant="I3"} 2.0',
        'paywalls_ledger_broken{invariant="I4"} 0.0',
        'paywalls_ledger_verified_timestamp_seconds{run="whole"} 1.0',
        'paywalls_ledger_verified_timestamp_seconds{run="new"} 2.0',
        "paywalls_ledger_checkpoint_timestamp_seconds 3.0",
    ):
        assert line in text.splitlines()
