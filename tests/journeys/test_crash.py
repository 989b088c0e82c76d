"""Server processes that die, sleep and stop amid requests: money is booked once, or freed."""

import asyncio
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest
from asgiref.sync import sync_to_async

from config.dev.servers import HOST
from tests.support.chats import request
from tests.support.product import CHARGE, MODEL, UNIT, Server, Shop, is_price_of, reap, sell
from tests.support.streams import Stream, until

KEPT_FOUR = "h.progress -> 'usage' ->> 'completion' = '4'"
"""A checkpoint with all that the client has got: role and three words."""

STREAMS = 100
GATED = "fake/fake-gated"
WHOLE = f"fake/{MODEL}"


async def chat(http: httpx.AsyncClient, shop: Shop, user: str, model: str) -> httpx.Response:
    body = request(model) | {"user": user}
    return await http.post(f"{shop.api}/chat/completions", json=body, headers=shop.headers)


def all_reaped(shop: Shop) -> Callable[[], bool]:
    """Lets the reaper look, as the timetable does; true when nothing of the shop is held."""

    def look() -> bool:
        reap()
        return shop.holds() == 0

    return look


def charged(shop: Shop, user: str) -> int:
    """What a user who had one unit has paid; nothing may be held."""
    wallet = shop.wallet(user)
    assert wallet.held == 0
    return UNIT - wallet.posted


@contextmanager
def unreachable() -> Iterator[str]:
    """A base URL where connecting neither succeeds nor fails: the queue of callers is full."""
    with socket.socket() as listening, socket.socket() as first, socket.socket() as second:
        listening.bind((HOST, 0))
        listening.listen(0)
        for waiting in (first, second):
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield f"http://{HOST}:{listening.getsockname()[1]}/v1"


@pytest.mark.slow
@pytest.mark.proves("F33", "C1", "C2", "C4")
async def test_kill_9_costs_the_delivered_part_at_most(start, shop, http, fake):
    """In mid-stream, before the first byte, and before the provider is reached at all."""
    doomed = await asyncio.to_thread(start, UPSTREAM_CONNECT_S="30")
    here = shop.at(doomed)
    midway, silent, unsent, other = [await sync_to_async(shop.funded)() for _ in range(4)]
    with unreachable() as nowhere:
        await sync_to_async(sell)(shop.paywall, nowhere, name="nowhere")
        stream = Stream(http, here, midway, GATED)
        await fake.wait_requests()
        fake.release(4)
        await stream.until(4)
        waiting = [
            asyncio.create_task(chat(http, here, silent, "fake/fake-silent")),
            asyncio.create_task(chat(http, here, unsent, f"nowhere/{MODEL}")),
        ]
        await until(lambda: shop.holds(KEPT_FOUR) == 1 and shop.holds() == 3)
        doomed.kill()
        await stream.end()
        cut = await asyncio.gather(*waiting, return_exceptions=True)
    assert stream.error
    assert len(stream.events) == 4
    assert all(isinstance(each, httpx.TransportError) for each in cut)
    assert (await chat(http, shop, other, WHOLE)).status_code == 200
    await until(all_reaped(shop))
    assert sorted(shop.ends()) == [
        ("completed", "completed:usage", CHARGE),
        ("failed", "lease_expired", 0),
        ("failed", "lease_expired", 0),
        ("recovered", "recovered_partial", charged(shop, midway)),
    ]
    assert is_price_of(charged(shop, midway), output=4)
    assert charged(shop, silent) == charged(shop, unsent) == 0


@pytest.mark.long
@pytest.mark.proves("F35")
async def test_a_process_that_slept_past_its_lease_books_nothing_more(start, shop, http, fake):
    doomed = await asyncio.to_thread(start)
    user = await sync_to_async(shop.funded)()
    stream = Stream(http, shop.at(doomed), user, GATED)
    await fake.wait_requests()
    fake.release(4)
    await stream.until(4)
    await until(lambda: shop.holds(KEPT_FOUR) == 1)
    doomed.send(signal.SIGSTOP)
    await until(all_reaped(shop))
    recovered = charged(shop, user)
    assert is_price_of(recovered, output=4)
    doomed.send(signal.SIGCONT)
    fake.release(100)
    await stream.end()
    assert stream.is_whole
    assert charged(shop, user) == recovered
    assert [status for status, _, _ in shop.ends()] == ["recovered"]
    assert shop.written_off() == ([(CHARGE - recovered, "late")] if recovered < CHARGE else [])


@pytest.mark.long
@pytest.mark.proves("F34")
async def test_sigterm_lets_streams_end_and_settles_those_that_do_not(start, shop, http, fake):
    server = await asyncio.to_thread(start, DRAIN_S="5")
    here = shop.at(server)
    *users, last, alone = [await sync_to_async(shop.funded)() for _ in range(STREAMS + 2)]
    streams = [Stream(http, here, user, GATED) for user in users]
    stuck = Stream(http, here, last, "fake/fake-hang")
    whole = asyncio.create_task(chat(http, here, alone, GATED))
    await fake.wait_requests(STREAMS + 2)
    await stuck.until(4)
    server.send(signal.SIGTERM)
    await until(lambda: not is_listening(server))
    fake.release(10 * STREAMS)
    for stream in (*streams, stuck):
        await stream.end()
    assert (await whole).status_code == 200
    assert all(stream.is_whole for stream in streams)
    assert not stuck.is_whole
    assert await asyncio.to_thread(server.wait) == 0
    assert shop.holds() == 0
    assert {charged(shop, user) for user in (*users, alone)} == {CHARGE}
    assert is_price_of(charged(shop, last), output=3)


def is_listening(server: Server) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, server.port)) == 0
