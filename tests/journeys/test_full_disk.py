"""PostgreSQL's disk is full: nothing is given away, and nobody has to repair anything."""

import asyncio
import subprocess
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from asgiref.sync import sync_to_async

from tests.journeys.test_crash import charged, chat
from tests.support.island import living_on
from tests.support.patience import PATIENCE_S
from tests.support.product import CHARGE, MODEL, Shop, broken_promises, make_shop
from tests.support.small_island import SmallIsland
from tests.support.streams import until


@pytest.fixture
async def island() -> AsyncIterator[SmallIsland]:
    made = SmallIsland(Path(tempfile.mkdtemp(prefix="paywalls-island-")))
    try:
        try:
            await asyncio.to_thread(made.make)
        except subprocess.SubprocessError:
            pytest.skip("this machine gives nobody a mount namespace")
        async with living_on(made):
            yield made
    finally:
        await asyncio.to_thread(made.remove)


@pytest.fixture
async def shop(island, start, fake) -> Shop:
    server = await asyncio.to_thread(start, **island.environment)
    return await sync_to_async(make_shop)(server, fake.url)


@pytest.mark.slow
@pytest.mark.proves("F46")
async def test_the_disk_of_the_database_is_full(island, shop, http, fake):
    user = await sync_to_async(shop.funded)()
    answers = []
    with island.full():
        async with asyncio.timeout(PATIENCE_S):
            while not answers or answers[-1].status_code == 200:
                answers.append(await chat(http, shop, user, MODEL))
        assert answers[-1].status_code == 503
        assert (await http.get(f"{shop.server.url}/healthz")).status_code == 200
    assert (await chat(http, shop, user, MODEL)).status_code == 200
    await until(lambda: shop.holds() == 0)
    paid, rest = divmod(charged(shop, user), CHARGE)
    assert (paid, rest) == (len(fake.requests), 0)
    assert await sync_to_async(broken_promises)() == []
