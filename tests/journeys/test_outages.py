"""PostgreSQL or Valkey is away, silent, full or slow: who waits, how long, and what it costs."""

import asyncio
import os
import signal
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from psycopg import sql

from tests.fakes.wire import Wire
from tests.journeys.test_crash import all_reaped, charged
from tests.journeys.test_database import chat
from tests.support.environment import database_name
from tests.support.product import CHARGE, UNIT, Shop, Wallet, is_price_of
from tests.support.streams import Stream, until

REFUSED_S = 15.0
"""The longest that somebody waits for a 503: four seconds at the gate, and a busy machine."""

ALIVE_S = 3.5
"""Less than what somebody waits who asks for the books."""

OUTAGE_S = 60.0
VALKEY_S = 0.5
"""Far less than what Valkey takes."""


async def seconds(asking) -> tuple[float, httpx.Response]:
    began = time.monotonic()
    answer = await asking
    return time.monotonic() - began, answer


async def is_alive(http: httpx.AsyncClient, shop: Shop) -> bool:
    took, answer = await seconds(http.get(f"{shop.server.url}/healthz"))
    return answer.status_code == 200 and took < ALIVE_S


async def balance(http: httpx.AsyncClient, shop: Shop, user: str) -> httpx.Response:
    return await http.get(f"{shop.api}/user/balance?user={user}", headers=shop.headers)


@pytest.mark.long
@pytest.mark.proves("F39")
async def test_a_database_that_takes_everything_and_answers_nothing(there, http, fake, wire):
    """New requests are refused soon, the loop lives, and a running stream is booked in the end."""
    user = await sync_to_async(there.funded)()
    assert (await chat(http, there, user)).status_code == 200
    stream = Stream(http, there, user, "fake-gated")
    await fake.wait_requests(2)
    wire.freeze()
    for _ in ("its configuration is known", "it is not trusted any more"):
        asking = asyncio.create_task(seconds(chat(http, there, user)))
        assert await is_alive(http, there)
        took, answer = await asking
        assert (answer.status_code, took < REFUSED_S) == (503, True)
        assert answer.json()["error"]["code"] == "platform_unavailable"
    assert len(fake.requests) == 2
    fake.release(100)
    wire.thaw()
    await stream.end()
    assert stream.is_whole
    await until(all_reaped(there))  # A hold that was asked for in vain may still be placed.
    assert there.wallet(user) == Wallet(UNIT - 2 * CHARGE, 0)


@contextmanager
def no_connections_left() -> Iterator[None]:
    """PostgreSQL refuses everyone who comes anew, as with `max_connections` used up."""
    name = sql.Identifier(database_name())
    limit = sql.SQL("ALTER DATABASE {} CONNECTION LIMIT {}")
    with psycopg.connect(os.environ["TEST_ADMIN_URL"], autocommit=True) as admin:
        admin.execute(limit.format(name, 1))
        yield
        admin.execute(limit.format(name, -1))


@pytest.mark.proves("F39")
async def test_no_connection_is_left_in_postgresql(there, http, wire):
    user = await sync_to_async(there.funded)()
    assert (await chat(http, there, user)).status_code == 200
    with no_connections_left():
        await wire.cut()
        await wire.mend()
        took, answer = await seconds(chat(http, there, user))
        assert (answer.status_code, took < REFUSED_S) == (503, True)
        assert await is_alive(http, there)
    assert (await chat(http, there, user)).status_code == 200
    assert there.wallet(user) == Wallet(UNIT - 2 * CHARGE, 0)


@pytest.mark.long
@pytest.mark.proves("F39")
async def test_all_pooled_connections_are_busy(there, http, owner):
    """Two wait for a lock; the third one does not wait for them for ever."""
    user = await sync_to_async(there.funded)()
    with owner.transaction():
        owner.execute("LOCK TABLE ledger_account IN ACCESS EXCLUSIVE MODE")
        asking = [asyncio.create_task(seconds(balance(http, there, user))) for _ in range(3)]
        assert await is_alive(http, there)
        (_, answer), *_ = [await each for each in asyncio.as_completed(asking)]
        assert answer.status_code == 503
        for task in asking:
            took, answer = await task
            assert (answer.status_code, took < 2 * REFUSED_S) == (503, True)
    assert (await balance(http, there, user)).status_code == 200


async def refused_for(outage_s: float, http: httpx.AsyncClient, shop: Shop, user: str) -> None:
    """Whoever asks in that time is told to come again, and soon."""
    ends = time.monotonic() + outage_s
    while time.monotonic() < ends:
        took, answer = await seconds(chat(http, shop, user))
        assert (answer.status_code, took < REFUSED_S) == (503, True)
        await asyncio.sleep(1)


@pytest.mark.long
@pytest.mark.timeout(180)
@pytest.mark.proves("F37")
async def test_a_minute_without_postgresql_amid_streams(shop, start, http, fake, wire):
    """Who runs goes on; who leaves meanwhile is booked afterwards all the same."""
    patient = {"UPSTREAM_IDLE_S": "120", "UPSTREAM_FIRST_BYTE_S": "120"}
    there = shop.at(await asyncio.to_thread(start, DATABASE_URL=wire.url, **patient))
    http.timeout = httpx.Timeout(None)
    running, ending, refused = [await sync_to_async(there.funded)() for _ in range(3)]
    stays = Stream(http, there, running, "fake-gated")
    await fake.wait_requests()
    fake.release(2)
    await stays.until(2)
    leaves = Stream(http, there, ending, "fake/fake-hang")
    whole = asyncio.create_task(chat(http, there, ending, model="fake-gated"))
    await fake.wait_requests(3)
    await leaves.until(4)
    await wire.cut()
    await leaves.leave()
    await refused_for(OUTAGE_S, http, there, refused)
    assert len(fake.requests) == 3
    await wire.mend()
    fake.release(200)
    await stays.end()
    assert stays.is_whole
    assert (await whole).status_code == 200
    await until(lambda: there.holds() == 0)
    assert there.wallet(running) == Wallet(UNIT - CHARGE, 0)
    assert there.wallet(refused) == Wallet(UNIT, 0)
    assert is_price_of(charged(there, ending) - CHARGE, output=3)


@pytest.fixture
async def valkey():
    async with Wire(settings.REDIS_URL) as made:
        yield made


async def usual_s(http: httpx.AsyncClient, shop: Shop, user: str) -> float:
    """Of thirty chats, the one in the middle."""
    times = []
    for _ in range(30):
        took, answer = await seconds(chat(http, shop, user))
        assert answer.status_code == 200
        times.append(took)
    return statistics.median(times)


@pytest.mark.long
@pytest.mark.proves("F41")
async def test_requests_do_not_notice_what_becomes_of_valkey(shop, start, http, valkey):
    server = await asyncio.to_thread(start, REDIS_URL=valkey.url)
    here, user = shop.at(server), await sync_to_async(shop.funded)()
    usual = await usual_s(http, here, user)
    valkey.delay_s = 30
    slow = await usual_s(http, here, user)
    await valkey.cut()
    gone = await usual_s(http, here, user)
    assert max(slow, gone) < usual + VALKEY_S
    assert shop.wallet(user) == Wallet(UNIT - 90 * CHARGE, 0)


@pytest.mark.slow
@pytest.mark.proves("F46")
async def test_the_disk_of_the_log_is_full(shop, start, http):
    """What cannot be written is lost, and nobody has to do without an answer."""
    here = shop.at(await asyncio.to_thread(start, Path("/dev/full"), LOG_JSON="true"))
    user = await sync_to_async(shop.funded)()
    for _ in range(3):
        assert (await chat(http, here, user)).status_code == 200
    trouble = await chat(http, here, user, model="fake/fake-500")
    assert trouble.json()["error"]["code"] == "upstream_error"
    assert shop.wallet(user) == Wallet(UNIT - 3 * CHARGE, 0)
    here.server.send(signal.SIGTERM)
    await asyncio.to_thread(here.server.wait)
