"""Server processes that die, stop and sleep with requests in them: money is booked once or freed."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import httpx
import pytest
from asgiref.sync import sync_to_async

from config.dev.servers import HOST
from tests.support.chats import request
from tests.support.product import (
    LEASE_S,
    MODEL,
    OUTPUT_NANOS,
    PROMPT_NANOS,
    Server,
    Shop,
    Wallet,
    reap,
    sell,
)

UNIT = 10**9
CHARGE = 9 * PROMPT_NANOS + 5 * OUTPUT_NANOS
PROMPT_TOKENS_MOST = 60
"""Of the chat below, however it is counted."""


@pytest.fixture
async def doomed(start: Callable[..., Server]) -> Server:
    """A server process of the test's own."""
    return await asyncio.to_thread(start, UPSTREAM_CONNECT_S="30")


def body(user: str, *, stream: bool = True) -> dict[str, object]:
    return request(MODEL, stream=stream) | {"user": user}


@asynccontextmanager
async def streaming(http: httpx.AsyncClient, shop: Shop, user: str) -> AsyncIterator["Reading"]:
    """A stream that is open, and what came of it."""
    opened = http.stream(
        "POST", f"{shop.api}/chat/completions", json=body(user), headers=shop.headers
    )
    async with opened as answer:
        yield Reading(answer)


class Reading:
    """The lines of an open stream as a client reads them."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self.events: list[str] = []
        self._lines = answer.aiter_lines()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.events) < count:
                line = await anext(self._lines)
                self.events += [line.removeprefix("data: ")] if line.startswith("data: ") else []

    async def rest(self) -> None:
        with suppress(StopAsyncIteration):
            await self.until(10_000)


async def wait_for(condition: Callable[[], bool], *, timeout_s: float = 15) -> None:
    async with asyncio.timeout(timeout_s):
        while not await asyncio.to_thread(condition):
            await asyncio.sleep(0.05)


def all_reaped(shop: Shop) -> Callable[[], bool]:
    """Let the reaper look, as the timetable does, until nothing of the shop is held."""

    def look() -> bool:
        reap()
        return shop.holds() == 0

    return look


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
async def test_kill_9(doomed, shop, http, fake):
    """In mid-stream, before the first byte, and before the provider is reached at all."""
    fake.behaviour = "gated"
    here = shop.at(doomed)
    users = [await sync_to_async(shop.funded)() for _ in range(4)]
    lost = [await sync_to_async(shop.funded)() for _ in range(2)]
    with unreachable() as nowhere:
        await sync_to_async(sell)(shop.paywall, nowhere, name="nowhere")
        before_dispatch = asyncio.create_task(
            http.post(
                f"{here.api}/chat/completions",
                json=body(lost[0]) | {"model": f"nowhere/{MODEL}"},
                headers=shop.headers,
            )
        )
        async with streaming(http, here, users[0]) as reading:
            pass
    assert reading
