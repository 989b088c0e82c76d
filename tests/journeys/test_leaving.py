"""Clients that leave or read slowly: the provider stops, and what was delivered is paid."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest
from asgiref.sync import sync_to_async

from config.dev.servers import HOST
from tests.support.chats import request
from tests.support.product import (
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


@pytest.fixture
def long(fake) -> None:
    """A hundred words, each one token."""
    fake.words = [" word"] * WORDS
    fake.usage = {"prompt_tokens": 9, "completion_tokens": WORDS, "total_tokens": WORDS + 9}


async def leave_after_ten(http, shop: Shop, user: str, fake) -> Stream:
    """A client that hangs up in the middle of a stream that goes on."""
    stream = Stream(http, shop, user, GATED)
    await fake.wait_requests(timeout_s=5)
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


async def test_who_leaves_after_ten_of_a_hundred_chunks_pays_for_ten(shop, http, fake, long):
    user = await sync_to_async(shop.funded)()
    stream = await leave_after_ten(http, shop, user, fake)
    await fake.wait_closed(timeout_s=1)
    status, policy, charged = await ended(shop)
    assert (status, policy) == ("client_gone", "client_gone:estimate")
    words = len(stream.events) - 1
    assert is_price_of(charged, output=words) or is_price_of(charged, output=words + 1)
    assert shop.wallet(user) == Wallet(UNIT - charged, 0)


async def test_where_answers_are_drained_the_whole_one_is_paid(product, http, fake, long, books):
    shop = await sync_to_async(make_shop)(product, fake.url, settlement={"client_gone": "drain"})
    user = await sync_to_async(shop.funded)()
    await leave_after_ten(http, shop, user, fake)
    fake.release(200)
    end = await ended(shop)
    assert end == ("client_gone", "client_gone:drain", 9 * PROMPT_NANOS + WORDS * OUTPUT_NANOS)
    assert shop.wallet(user) == Wallet(UNIT - end[2], 0)
    assert fake.closed == 0


async def test_where_leaving_is_free_nothing_is_paid(product, http, fake, long, books):
    shop = await sync_to_async(make_shop)(product, fake.url, settlement={"client_gone": "free"})
    user = await sync_to_async(shop.funded)()
    await leave_after_ten(http, shop, user, fake)
    await fake.wait_closed(timeout_s=1)
    assert await ended(shop) == ("client_gone", "client_gone:free", 0)
    assert shop.wallet(user) == Wallet(UNIT, 0)


@pytest.mark.parametrize("model", ["fake/fake-silent", "fake/fake-stall"])
async def test_who_leaves_before_the_first_word_pays_nothing(shop, http, fake, model):
    user = await sync_to_async(shop.funded)()
    stream = Stream(http, shop, user, model)
    await fake.wait_requests(timeout_s=5)
    await stream.leave()
    await fake.wait_closed(timeout_s=1)
    status, _, charged = await ended(shop)
    assert (status, charged) == ("client_gone", 0)
    assert shop.wallet(user) == Wallet(UNIT, 0)


@pytest.mark.slow
async def test_a_client_that_does_not_read_stops_the_provider_and_nobody_else(product, http, books):
    """Back-pressure reaches through the product: neither it nor the provider runs ahead."""
    async with endless() as (url, sent):
        shop = await sync_to_async(make_shop)(product, url)
        user, other = [await sync_to_async(shop.funded)() for _ in range(2)]
        before = memory(product.child.process.pid)
        with socket.socket() as line:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            line.connect((HOST, product.port))
            line.sendall(post(shop, user))
            await still(sent)
            assert 0 < sum(sent) < SENT_MOST
            assert memory(product.child.process.pid) - before < GROWTH_MOST
            began = time.monotonic()
            balance = await http.get(
                f"{shop.api}/user/balance", params={"user": other}, headers=shop.headers
            )
            assert balance.status_code == 200
            assert time.monotonic() - began < 1
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
    async with asyncio.timeout(10):
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


def memory(pid: int) -> int:
    """Bytes of a process that are in memory."""
    pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    return int(pages) * 4_096
