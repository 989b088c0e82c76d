"""The running product, and a provider on the test's own loop."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from django.conf import settings

from tests.fakes.upstream import FakeUpstream
from tests.fakes.wire import Wire
from tests.support.aftermath import aftermath
from tests.support.patience import PATIENCE_S
from tests.support.product import Server, Shop, make_shop
from tests.support.product_fixtures import Start, books, product, provider_port, start

__all__ = ["aftermath", "books", "product", "provider_port", "start"]


@pytest.fixture
def shop(product: Server, fake: FakeUpstream, aftermath: None) -> Shop:
    """A paywall of its own, behind the running product, that sells the fake provider's model."""
    return make_shop(product, fake.url)


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    """To this worker's database."""
    async with Wire(settings.DATABASE_URL) as made:
        yield made


@pytest.fixture
async def there(shop: Shop, wire: Wire, start: Start) -> Shop:
    """The shop behind a process of its own, whose database hangs by the wire."""
    return shop.at(await asyncio.to_thread(start, DATABASE_URL=wire.url))


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    """An app's client: no limit on connections, no proxy of the environment."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(timeout=PATIENCE_S, limits=limits, trust_env=False) as client:
        yield client
