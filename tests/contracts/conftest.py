"""The running product and its demo provider, for clients that know nothing of us."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

import pytest

from config.kit.money import NANOS, parse_nanos
from providers.demo.models import MODELS
from tests.support.product import Server, Shop, make_shop
from tests.support.product_fixtures import books, product, provider, provider_port

__all__ = ["books", "product", "provider", "provider_port"]


@dataclass
class Bill:
    """What the answers in a block said they cost, in nanos."""

    reported: list[int] = field(default_factory=list)

    def add(self, amount: str | float) -> None:
        """A decimal string of a header, or the number in a usage."""
        nanos = parse_nanos(amount) if isinstance(amount, str) else round(amount * NANOS)
        assert nanos is not None
        self.reported.append(nanos)


Paying = Callable[[], AbstractContextManager[Bill]]


@pytest.fixture(scope="module", params=["demo", "compatible"])
def shop(request: pytest.FixtureRequest, product: Server, provider: Server) -> Shop:
    """A paywall that sells the demo provider's models, also as those of just any URL and key."""
    more = {"kind": request.param, "name": request.param, "models": MODELS}
    if request.param == "compatible":
        more["key"] = "sk-of-the-developer"
    return make_shop(product, f"{provider.url}/v1", **more)


@pytest.fixture
def user(shop: Shop, books: None) -> str:
    """Somebody with one unit."""
    return shop.funded()


@pytest.fixture
def paying(shop: Shop, user: str) -> Paying:
    """A block in which the user's balance falls by exactly what the answers report."""

    @contextmanager
    def measured() -> Iterator[Bill]:
        bill, before = Bill(), shop.wallet(user)
        yield bill
        after = shop.wallet(user)
        assert after.held == 0
        assert bill.reported
        assert min(bill.reported) > 0
        assert before.posted - after.posted == sum(bill.reported)

    return measured
