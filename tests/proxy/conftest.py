"""A tenant per test, and the public API on the test's own loop."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from asgiref.sync import sync_to_async

from proxy.asgi import Application
from tests.proxy import edge
from tests.proxy.tenant import Tenant, make_tenant


@pytest.fixture
async def app() -> AsyncIterator[Application]:
    """The public API with its real services, listening for changes."""
    async with edge.running(Application()) as opened:
        assert opened._services
        await asyncio.wait_for(opened._services.snapshots.heard.wait(), 10)
        yield opened


@pytest.fixture
async def tenant(app: Application) -> Tenant:
    return await sync_to_async(make_tenant)(app)
