"""One stand-in a process, as new for each test, and a seller on it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import stripe

from tests.fakes.stripe.keys import seeded
from tests.fakes.stripe.server import Running, running
from tests.stripe.refilling import Refiller, calm, offer
from tests.stripe.sink import Sink, receiving
from tests.stripe.till import Till, open_till

URLS = {
    "success_url": "https://shop.test/ok?session={CHECKOUT_SESSION_ID}",
    "cancel_url": "https://shop.test/no",
}


@dataclass
class Shop:
    """What a seller does with the API."""

    fake: Running
    v1: Any

    def session(
        self, amount: int = 1000, *, mode: str = "payment", every: str = "", **given: Any
    ) -> stripe.checkout.Session:
        data: dict[str, Any] = {"currency": "usd", "unit_amount": amount}
        data["product_data"] = {"name": "Credits"}
        if every:
            data["recurring"] = {"interval": every}
        params: dict[str, Any] = {"mode": mode, **URLS, **given}
        if mode == "setup":
            params["currency"] = "usd"
        else:
            params.setdefault("line_items", [{"price_data": data, "quantity": 1}])
        session: stripe.checkout.Session = self.v1.checkout.sessions.create(params=params)
        return session

    def finish(self, session: stripe.checkout.Session, outcome: str = "pay", **given: Any) -> Any:
        return self.fake.test("sessions", session.id, outcome, **given)

    def paid(self, amount: int = 1000, **given: Any) -> Any:
        """The session, as it is once it is paid by card."""
        return self.finish(self.session(amount, **given))

    def charge(self, session: Any) -> stripe.Charge:
        found = self.v1.charges.list(params={"payment_intent": session["payment_intent"]})
        charge: stripe.Charge = found.data[0]
        return charge

    def subscribed(self, amount: int = 2000, every: str = "month", **given: Any) -> Any:
        """The session and its subscription."""
        session = self.finish(self.session(amount, mode="subscription", every=every, **given))
        return session, self.v1.subscriptions.retrieve(session["subscription"])

    def reasons(self, subscription_id: str) -> list[tuple[Any, int, Any]]:
        """(billing reason, amount due, status) of its invoices, oldest first.

        Amounts to the nearest ten: what is prorated depends on the second.
        """
        found = self.v1.invoices.list(params={"subscription": subscription_id, "limit": 100})
        return [
            (each.billing_reason, round(each.amount_due, -1), each.status)
            for each in found.data[::-1]
        ]

    def types(self, about: str) -> list[str]:
        """The events of an object and its payment, oldest first."""
        return [event["type"] for event in self.fake.events(about)]

    def listen(self, sink: Sink, *types: str) -> stripe.WebhookEndpoint:
        wanted = {"url": sink.url, "enabled_events": list(types or ("*",))}
        endpoint: stripe.WebhookEndpoint = self.v1.webhook_endpoints.create(params=wanted)
        return endpoint

    def later(self, **time: int) -> None:
        """Advance the clock by days, hours, minutes, seconds."""
        units = {"days": 86_400, "hours": 3600, "minutes": 60, "seconds": 1}
        seconds = sum(units[unit] * count for unit, count in time.items())
        self.fake.test("clock", "advance", seconds=seconds)


@pytest.fixture(scope="session")
def stand_in() -> Iterator[Running]:
    with running() as program:
        yield program


@pytest.fixture
def fake(stand_in: Running) -> Running:
    """As new."""
    stand_in.test("reset")
    return stand_in


@pytest.fixture
def shop(fake: Running) -> Shop:
    return Shop(fake, fake.client(seeded("sk", "test"), max_network_retries=0).v1)


@pytest.fixture
def sink() -> Iterator[Sink]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def till(fake: Running, settings: Any) -> Till:
    """A paywall that takes money through the stand-in."""
    settings.STRIPE_API_BASE = fake.url
    return open_till(fake)


@pytest.fixture
def refiller(till: Till) -> Refiller:
    """The till's user, who may save a card."""
    calm()
    offer(till)
    return Refiller(till)


@pytest.fixture
def low(refiller: Refiller) -> Refiller:
    """With a card that may be charged, and a balance below; no worker has looked yet."""
    refiller.deposit(6)
    refiller.ready()
    refiller.spend(2)
    return refiller
