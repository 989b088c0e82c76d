"""New schemas and new secrets come while requests run."""

import asyncio
import base64
import subprocess
import sys

import pytest
from asgiref.sync import sync_to_async

from config.dev.process import NotStartedError
from config.dev.test import TEST_KEY
from tests.journeys.test_database import Load
from tests.support.commands import run
from tests.support.product import PROVIDER_KEY
from tests.support.sources import ROOT

pytestmark = pytest.mark.slow

OLD, NEW = TEST_KEY, base64.b64encode(bytes(range(32, 64))).decode()
LONGEST_S = 5.0


async def migrate(*arguments: str) -> subprocess.CompletedProcess[str]:
    """As an operator does, on this worker's database."""
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "manage.py", "migrate", "--no-input", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.long
@pytest.mark.proves("F77")
async def test_a_migration_under_load(shop, http):
    """The last one of the providers: it takes triggers from their tables, and puts them back."""
    user = await sync_to_async(shop.funded)()
    load = Load(http, shop, user, callers=2)
    for target in ("0001", "0002"):
        await load.until(200, more=5)
        done = await migrate("providers", target)
        assert done.returncode == 0, done.stderr
    await load.until(200, more=5)
    await load.stop()
    assert load.count(200) == len(load.answers)


@pytest.mark.proves("F77")
async def test_a_migration_that_cannot_have_its_lock_gives_up(shop, http, owner):
    """Soon enough for those who wait behind it."""
    user = await sync_to_async(shop.funded)()
    load = Load(http, shop, user, callers=2)
    await load.until(200, more=5)
    with owner.transaction():
        owner.execute("SELECT FROM providers_connection LIMIT 1")
        done = await migrate("providers", "0001")
    await load.stop()
    assert done.returncode != 0
    assert "lock timeout" in done.stderr
    assert load.count(200) == len(load.answers)
    assert max(answer.elapsed.total_seconds() for answer in load.answers) < LONGEST_S


@pytest.mark.proves("F77")
async def test_an_older_release_does_not_start_on_a_newer_schema(start, owner):
    owner.execute(
        "INSERT INTO django_migrations (app, name, applied)"
        " VALUES ('billing', '9999_future', now())"
    )
    try:
        with pytest.raises(NotStartedError, match=r"of a newer release, which has billing\.9999"):
            await asyncio.to_thread(start)
    finally:
        owner.execute("DELETE FROM django_migrations WHERE name = '9999_future'")


@pytest.mark.long
@pytest.mark.proves("F80")
@pytest.mark.timeout(300)
async def test_new_secrets_under_load(shop, start, http, fake, settings):
    """Known first, then used, then alone; servers of two steps always run side by side."""
    steps = [
        {"ENCRYPTION_KEYS": f"{OLD},{NEW}", "KEY_PEPPERS": f"2:{NEW},1:{OLD}"},
        {"ENCRYPTION_KEYS": f"{NEW},{OLD}", "KEY_PEPPERS": f"1:{OLD},2:{NEW}"},
        {"ENCRYPTION_KEYS": NEW, "KEY_PEPPERS": f"2:{NEW}"},
    ]
    old, new = (base64.b64decode(each) for each in (OLD, NEW))
    user = await sync_to_async(shop.funded)()
    here, loads = shop, [Load(http, shop, user, callers=2)]
    for step in steps:
        server = await asyncio.to_thread(start, **step)
        here = shop.at(server)
        loads.append(Load(http, here, user, callers=2))
        await loads[-1].until(200, more=10)
        await loads[-2].until(200, more=10)
        await loads.pop(0).stop()
        if step is steps[1]:
            settings.ENCRYPTION_KEYS, settings.KEY_PEPPERS = (new, old), {1: old, 2: new}
            told = await sync_to_async(run)("reseal")
            assert "Sealed 0" not in told
    for load in loads:
        await load.stop()
    assert all(load.count(200) == len(load.answers) for load in loads)
    assert fake.requests[-1].headers["authorization"] == f"Bearer {PROVIDER_KEY}"
