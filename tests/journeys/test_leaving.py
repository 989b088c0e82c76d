"""Clients that leave or read slowly: the provider stops, and what was delivered is paid."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import orjson
import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.conf import settings

from config.dev.servers import HOST
from config.kit.limits import DRAINS_MAX
from tests.support.chats import request
from tests.support.memory import resident_bytes
from tests.support.patience import PATIENCE_S
from tests.support.product import (
    CHARGE,
    MODEL,
    OUTPUT_NANOS,
    PROMPT_NANOS,
    UNIT,
    Shop,
    Wallet,
    is_price_of,
    make_shop,
)
from tests.support.streams import Stream, until

GATED = "fake/fake-gated"
WORDS = 100
PACE_S = 0.01
SENT_MOST = 64 * 1024 * 1024
GROWTH_MOST = 50 * 1024 * 1024
OTHERS_S = 10.0
"""Who has nothing to do with it waits no longer."""


@pytest.fixture
def long(fake) -> None:
    """A hundred words, each one token."""
    fake.words = [" word"] * WORDS
    fake.usage = {"prompt_tokens": 9, "completion_tokens": WORDS, "total_tokens": WORDS + 9}


async def leave_after_ten(http, shop: Shop, user: str, fake) -> Stream:
    """A client that hangs up in the middle of a stream that goes on."""
    stream = Stream(http, shop, user, GATED)
    await fake.wait_requests()
    fake.release()
    for count in range(1, 11):
        await stream.until(count)
        fake.release()
        await asyncio.sleep(PACE_S)
    await stream.leave()
    return stream


async def ended(shop: Shop) -> tuple[str, str, int]:
    """Status, policy and charge of the only request, as soon as it is booked."""
    await until(lambda: bool(shop.ends()))
    (end,) = shop.ends()
    return end


@pytest.mark.proves("F23")
async def test_who_leaves_after_ten_of_a_hundred_chunks_pays_for_ten(shop, http, fake, long):
    user = await sync_to_async(shop.funded)()
    stream = await leave_after_ten(http, shop, user, fake)
    await fake.wait_closed()
    status, policy, charged = await ended(shop)
    assert (status, policy) == ("client_gone", "client_gone:estimate")
    words = len(stream.events) - 1
    assert is_price_of(charged, output=words) or is_price_of(charged, output=words + 1)
    assert shop.wallet(user) == Wallet(UNIT - charged, 0)


@pytest.mark.proves("F24")
async def test_where_answers_are_drained_the_whole_one_is_paid(
    product, http, fake, long, aftermath
):
    shop = await sync_to_async(make_shop)(product, fake.url, settlement={"client_gone": "drain"})
    user = await sync_to_async(shop.funded)()
    await leave_after_ten(http, shop, user, fake)
    fake.release(200)
    end = await ended(shop)
    assert end == ("client_gone", "client_gone:drain", 9 * PROMPT_NANOS + WORDS * OUTPUT_NANOS)
    assert shop.wallet(user) == Wallet(UNIT - end[2], 0)
    assert fake.closed == 0


async def test_where_leaving_is_free_nothing_is_paid(product, http, fake, long, aftermath):
    shop = await sync_to_async(make_shop)(product, fake.url, settlement={"client_gone": "free"})
    user = await sync_to_async(shop.funded)()
    await leave_after_ten(http, shop, user, fake)
    await fake.wait_closed()
    assert await ended(shop) == ("client_gone", "client_gone:free", 0)
    assert shop.wallet(user) == Wallet(UNIT, 0)


@pytest.mark.proves("F22")
@pytest.mark.parametrize("model", ["fake/fake-silent", "fake/fake-stall"])
async def test_who_leaves_before_the_first_word_pays_nothing(shop, http, fake, model):
    user = await sync_to_async(shop.funded)()
    stream = Stream(http, shop, user, model)
    await fake.wait_requests()
    await stream.leave()
    await fake.wait_closed()
    status, _, charged = await ended(shop)
    assert (status, charged) == ("client_gone", 0)
    assert shop.wallet(user) == Wallet(UNIT, 0)


@pytest.mark.slow
@pytest.mark.proves("F24")
async def test_more_drains_than_the_most_are_cut_and_estimated(
    product, http, fake, long, aftermath
):
    beyond = 3
    shop = await sync_to_async(make_shop)(product, fake.url, settlement={"client_gone": "drain"})
    user = await sync_to_async(shop.funded)(100 * UNIT)
    streams = [Stream(http, shop, user, GATED) for _ in range(DRAINS_MAX + beyond)]
    await fake.wait_requests(len(streams), timeout_s=10)
    fake.release(3 * len(streams))
    for stream in streams:
        await stream.until(3)
    for stream in streams:
        await stream.leave()
    await fake.wait_closed(beyond)
    await until(lambda: len(shop.ends()) == beyond)
    assert {(status, policy) for status, policy, _ in shop.ends()} == {
        ("client_gone", "client_gone:estimate")
    }
    assert all(is_price_of(charged, output=2) for _, _, charged in shop.ends())
    fake.release(200 * len(streams))
    await until(lambda: len(shop.ends()) == len(streams))
    charges = [charged for _, _, charged in shop.ends()]
    assert charges.count(9 * PROMPT_NANOS + WORDS * OUTPUT_NANOS) == DRAINS_MAX
    assert fake.closed == beyond
    assert shop.wallet(user) == Wallet(100 * UNIT - sum(charges), 0)


EVENTS = 8
"""Of the fake provider's stream without its [DONE]: role, five words, the end, usage."""


@pytest.mark.proves("F25")
@pytest.mark.parametrize("released", [EVENTS, EVENTS + 1])
async def test_who_leaves_between_the_last_chunk_and_the_booking_is_charged_once(
    shop, http, fake, released
):
    """Before [DONE] came; and after, while the booking waits for the wallet."""
    user = await sync_to_async(shop.funded)()
    stream = Stream(http, shop, user, GATED)
    await fake.wait_requests()
    fake.release(EVENTS)
    await stream.until(EVENTS - 1)
    with psycopg.connect(settings.DATABASE_OWNER_URL) as other:
        lock = "SELECT FROM ledger_account WHERE id = (SELECT wallet_id FROM paywalls_enduser"
        other.execute(f"{lock} WHERE external_id = %s) FOR NO KEY UPDATE", [user])
        fake.release(released - EVENTS)
        if released > EVENTS:
            await until(is_anybody_waiting)
        await stream.leave()
        if released == EVENTS:
            await until(is_anybody_waiting)
        assert shop.ends() == []
    status, policy, charged = await ended(shop)
    assert charged == CHARGE
    assert (status, policy) == (
        ("completed", "completed:usage")
        if released > EVENTS
        else ("client_gone", "client_gone:estimate")
    )
    assert shop.wallet(user) == Wallet(UNIT - CHARGE, 0)


def is_anybody_waiting() -> bool:
    """Whether the product waits for a row that somebody else has locked."""
    with psycopg.connect(settings.DATABASE_URL) as connection:
        found = connection.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ).fetchone()
    assert found is not None
    return bool(found[0])


@pytest.mark.slow
@pytest.mark.proves("F26")
async def test_who_reads_a_byte_at_a_time_is_ended_by_the_total_limit(product, aftermath):
    async with endless() as (url, sent):
        shop = await sync_to_async(make_shop)(product, url, timeouts={"total_s": 2})
        user = await sync_to_async(shop.funded)(100 * UNIT)
        with socket.socket() as line:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            line.connect((HOST, product.port))
            line.sendall(post(shop, user))
            reading = asyncio.create_task(
                asyncio.to_thread(read_bytewise, line, lambda: bool(shop.ends()))
            )
            status, policy, charged = await ended(shop)
            await reading
        assert (status, policy) == ("truncated", "upstream_error:delivered")
        assert sum(sent) < SENT_MOST
    assert 0 < charged < 100 * UNIT
    assert shop.wallet(user) == Wallet(100 * UNIT - charged, 0)


def read_bytewise(line: socket.socket, is_over: Callable[[], bool]) -> None:
    while not is_over() and line.recv(1):
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.proves("F26")
async def test_a_client_that_does_not_read_stops_the_provider_and_nobody_else(
    product, http, aftermath
):
    """Back-pressure reaches through the product: neither it nor the provider runs ahead."""
    async with endless() as (url, sent):
        shop = await sync_to_async(make_shop)(product, url)
        user, other = [await sync_to_async(shop.funded)() for _ in range(2)]
        before = resident_bytes(product.child.process.pid)
        with socket.socket() as line:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            line.connect((HOST, product.port))
            line.sendall(post(shop, user))
            await still(sent)
            assert 0 < sum(sent) < SENT_MOST
            assert resident_bytes(product.child.process.pid) - before < GROWTH_MOST
            began = time.monotonic()
            balance = await http.get(
                f"{shop.api}/user/balance", params={"user": other}, headers=shop.headers
            )
            assert balance.status_code == 200
            assert time.monotonic() - began < OTHERS_S
        status, _, charged = await ended(shop)
    assert status == "client_gone"
    assert shop.wallet(user) == Wallet(UNIT - charged, 0)


@asynccontextmanager
async def endless() -> AsyncIterator[tuple[str, list[int]]]:
    """A provider that sends large events without end, and how many bytes it could send so far."""
    sent: list[int] = []
    chunk = {"choices": [{"index": 0, "delta": {"content": "word"}}], "filler": "x" * 65_536}
    event = b"data: " + orjson.dumps(chunk) + b"\n\n"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        try:
            while True:
                writer.write(event)
                await writer.drain()
                sent.append(len(event))
        except ConnectionError:
            writer.close()

    async with await asyncio.start_server(answer, HOST, 0) as server:
        yield f"http://{HOST}:{server.sockets[0].getsockname()[1]}/v1", sent


async def still(sent: list[int]) -> None:
    """Wait until nothing more is sent for a while."""
    async with asyncio.timeout(PATIENCE_S):
        known = -1
        while known != len(sent) or not sent:
            known = len(sent)
            await asyncio.sleep(0.3)


def post(shop: Shop, user: str) -> bytes:
    body = orjson.dumps(request(MODEL, stream=True) | {"user": user})
    return (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
        b"Authorization: Bearer %b\r\nContent-Length: %d\r\n\r\n%b"
    ) % (shop.token.encode(), len(body), body)
