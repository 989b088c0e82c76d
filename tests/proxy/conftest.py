"""A tenant per test, and the public API on the test's own loop."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from asgiref.sync import sync_to_async

from providers.upstream import Upstream
from proxy.asgi import Application
from tests.fakes.upstream import FakeUpstream
from tests.proxy import edge
from tests.proxy.tenant import Tenant, heard, make_tenant
from tests.support.chats import Wall, wall_of
from tests.support.patience import PATIENCE_S


@pytest.fixture
async def app() -> AsyncIterator[Application]:
    """The public API with its real services, listening for changes."""
    async with edge.running(Application()) as opened:
        assert opened._services
        await asyncio.wait_for(opened._services.snapshots.heard.wait(), PATIENCE_S)
        yield opened


@pytest.fixture
async def tenant(app: Application) -> Tenant:
    """Known to the process, with every change of its making heard."""
    made = await sync_to_async(make_tenant)(app)
    assert app._services
    await heard(app._services.snapshots)
    return made


@pytest.fixture
def wall(fake: FakeUpstream, upstream: Upstream) -> Wall:
    """A paywall in memory that sells the fake provider's model."""
    return wall_of(fake, upstream)
