"""Slow pages and storms of bad keys take nothing from those who pay."""

import asyncio
import resource
import time

import httpx
import pytest
from asgiref.sync import sync_to_async

from config.asgi import STATEMENT_MS
from config.kit import ids
from paywalls import keys
from proxy.snapshot import Snapshots
from tests.journeys.test_database import chat
from tests.support.product import CHARGE, UNIT, Server, Shop, Wallet

PAGES = 5
STORM = 100_000
BURST = 500
CPU_S = 3.0
"""For a storm of keys: 30 µs each, on a busy machine."""

WORSE_S = 2.0
"""A busy machine; behind a page's query somebody would wait for ten seconds."""


async def seconds(http: httpx.AsyncClient, shop: Shop, user: str, *, chats: int) -> list[float]:
    """How long each took."""
    times = []
    for _ in range(chats):
        began = time.monotonic()
        assert (await chat(http, shop, user)).status_code == 200
        times.append(time.monotonic() - began)
    return times


def nearly_all(times: list[float]) -> float:
    """Nine of ten were quicker: the tests share the processor with what they test."""
    return sorted(times)[len(times) * 9 // 10]


async def log_in(http: httpx.AsyncClient, server: Server) -> list[asyncio.Task[httpx.Response]]:
    """Some pages that look for a developer in the database."""
    address = f"{server.url}/admin/login/"
    page = (await http.get(address)).text
    token = page.split('name="csrfmiddlewaretoken" value="')[1].split('"')[0]
    form = {"csrfmiddlewaretoken": token, "username": "ada@example.com", "password": "?"}
    return [asyncio.create_task(http.post(address, data=form)) for _ in range(PAGES)]


@pytest.mark.long
@pytest.mark.proves("F47")
async def test_pages_whose_query_does_not_end(shop, http, owner):
    """PostgreSQL ends it after ten seconds; meanwhile chats are as quick as ever."""
    user = await sync_to_async(shop.funded)()
    usual = nearly_all(await seconds(http, shop, user, chats=30))
    with owner.transaction():
        owner.execute("LOCK TABLE paywalls_user IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        pages = await log_in(http, shop.server)
        assert nearly_all(await seconds(http, shop, user, chats=100)) < usual + WORSE_S
        answers = await asyncio.gather(*pages)
        took = time.monotonic() - began
    assert {answer.status_code for answer in answers} == {500}
    assert took < 4 * STATEMENT_MS / 1000
    assert shop.wallet(user) == Wallet(UNIT - 130 * CHARGE, 0)


def spoilt(token: str, number: int) -> str:
    """Like a key, and none: its checksum is another's."""
    return token[:15] + f"{number:06d}" + token[21:]


@pytest.mark.proves("F75")
async def test_a_hundred_thousand_bad_keys_cost_no_query(shop):
    snapshots = Snapshots()
    before = resource.getrusage(resource.RUSAGE_SELF)
    for number in range(STORM):
        assert keys.parse(spoilt(shop.token, number)) is None
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert after.ru_utime - before.ru_utime < CPU_S
    refused = [snapshots.caller(spoilt(shop.token, number)) for number in range(100)]
    outcomes = await asyncio.gather(*refused, return_exceptions=True)
    assert {type(each).__name__ for each in outcomes} == {"InvalidApiKeyError"}
    assert not snapshots._loader._threads._threads


@pytest.mark.long
@pytest.mark.proves("F75")
async def test_a_storm_of_bad_keys_delays_no_good_one(shop, http):
    """Half of them pass for keys: their checksum is right, and only the database knows better."""
    user = await sync_to_async(shop.funded)()
    usual = nearly_all(await seconds(http, shop, user, chats=30))
    storms = [asyncio.create_task(storm(shop, forged=forged)) for forged in (True, False) * 2]
    times: list[float] = []
    while not all(each.done() for each in storms):
        times += await seconds(http, shop, user, chats=5)
    assert nearly_all(times) < usual + WORSE_S
    assert [await each for each in storms] == [BURST] * len(storms)
    assert shop.wallet(user) == Wallet(UNIT - (30 + len(times)) * CHARGE, 0)


async def storm(shop: Shop, *, forged: bool) -> int:
    """How many were refused, of many that do not wait for their answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", shop.server.port)
    sending = asyncio.create_task(send_all(writer, shop, forged=forged))
    refused = 0
    while refused < BURST:
        refused += (await reader.readuntil(b"\r\n\r\n")).count(b"HTTP/1.1 401")
    await sending
    writer.close()
    return refused


async def send_all(writer: asyncio.StreamWriter, shop: Shop, *, forged: bool) -> None:
    for number in range(BURST):
        text = keys._new_text(livemode=True) if forged else spoilt(shop.token, number)
        writer.write(
            b"GET /v1/user/balance?user=%b HTTP/1.1\r\nHost: x\r\n" % ids.uuid7().hex.encode()
            + b"Authorization: Bearer %b\r\n\r\n" % text.encode()
        )
        await writer.drain()
