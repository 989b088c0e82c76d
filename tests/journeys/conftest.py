"""The running product, and a provider on the test's own loop."""

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.fakes.upstream import FakeUpstream
from tests.support.product import Server, Shop, make_shop
from tests.support.product_fixtures import books, product, provider_port, start

__all__ = ["books", "product", "provider_port", "start"]


@pytest.fixture
def shop(product: Server, fake: FakeUpstream, books: None) -> Shop:
    """A paywall of its own, behind the running product, that sells the fake provider's model."""
    return make_shop(product, fake.url)


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    """An app's client: no limit on connections, no proxy of the environment."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(timeout=20, limits=limits, trust_env=False) as client:
        yield client
