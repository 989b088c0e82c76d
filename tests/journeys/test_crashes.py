"""PostgreSQL itself crashes, or comes back without its last commits."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from asgiref.sync import sync_to_async

from tests.journeys.test_crash import KEPT_FOUR, all_reaped, charged
from tests.journeys.test_database import CALLERS, Load, assert_refused_in_order
from tests.support.island import Island, forget_connections, living_on
from tests.support.product import (
    CHARGE,
    UNIT,
    Shop,
    Wallet,
    broken_promises,
    is_price_of,
    make_shop,
)
from tests.support.streams import Stream, until

pytestmark = pytest.mark.long

CRASHES = 3


@pytest.fixture
async def island() -> AsyncIterator[Island]:
    made = Island(Path(tempfile.mkdtemp(prefix="paywalls-island-")))
    try:
        await asyncio.to_thread(made.make)
        async with living_on(made):
            yield made
    finally:
        await asyncio.to_thread(made.remove)


@pytest.fixture
async def shop(island, start, fake) -> Shop:
    """On the island, behind a process of its own."""
    server = await asyncio.to_thread(start, **island.environment)
    return await sync_to_async(make_shop)(server, fake.url)


async def crash(island: Island, then: Callable[[], None] | None = None) -> None:
    await asyncio.to_thread(island.crash)
    if then is not None:
        await asyncio.to_thread(then)
    await forget_connections()


@pytest.mark.proves("F36")
@pytest.mark.timeout(300)
async def test_postgresql_crashes_again_and_again_under_load(island, shop, http):
    user = await sync_to_async(shop.funded)()
    load = Load(http, shop, user)
    for _ in range(CRASHES):
        await load.until(200, more=20)
        await crash(island)
        await load.until(503, more=5)
        await asyncio.to_thread(island.start)
    await load.until(200, more=20)
    await load.stop()
    assert_refused_in_order(load)
    await until(all_reaped(shop))
    paid, rest = divmod(charged(shop, user), CHARGE)
    assert rest == 0
    assert load.count(200) <= paid <= load.count(200) + CRASHES * CALLERS
    assert await sync_to_async(broken_promises)() == []


@pytest.mark.proves("F33", "C10")
async def test_the_last_commits_are_lost(island, shop, start, http, fake):
    """A standby takes over that has the hold and its checkpoint, and not the settlement."""
    user = await sync_to_async(shop.funded)()
    stream = Stream(http, shop, user, "fake-gated")
    await fake.wait_requests()
    fake.release(4)
    await stream.until(4)
    await until(lambda: shop.holds(KEPT_FOUR) == 1)
    await crash(island, island.save)
    await asyncio.to_thread(island.start)
    fake.release(100)
    await stream.end()
    assert stream.is_whole
    assert shop.wallet(user) == Wallet(UNIT - CHARGE, 0)
    shop.server.kill()
    await crash(island, island.restore)
    await asyncio.to_thread(island.start)
    assert shop.holds() == 1
    await until(all_reaped(shop))
    assert [status for status, _, _ in shop.ends()] == ["recovered"]
    assert is_price_of(charged(shop, user), output=4)
    assert await sync_to_async(broken_promises)() == []
