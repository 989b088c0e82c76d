"""A stand-in for one test or many, on a thread of its own.

with running() as stripe:
    client = stripe.client()                     # a StripeClient with the seeded rk_test_ key
    session = client.v1.checkout.sessions.create(params={…})
    stripe.test("sessions", session.id, "pay")   # POST /_test/sessions/…/pay
    stripe.calls()["calls"]["POST /v1/checkout/sessions"]
    stripe.signed(session.id)                    # what endpoints are sent, to post by hand
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import stripe
import uvicorn

from tests.fakes.stripe.app import FakeStripe
from tests.fakes.stripe.keys import seeded

START_S, CALL_S = 60, 60
KEEP_ALIVE_S = 600
"""Longer than any test: a call must not meet the end of its connection."""


@dataclass
class Running:
    """A stand-in that answers at `url`."""

    url: str
    program: FakeStripe
    http: httpx.Client

    def client(self, key: str = "", **options: Any) -> stripe.StripeClient:
        """The official client, led here. `key`: else the seeded restricted one of test mode."""
        return stripe.StripeClient(
            key or seeded("rk", "test"), base_addresses={"api": self.url}, **options
        )

    def test(self, *path: str, method: str = "POST", **given: Any) -> Any:
        """One `_test` call; raises for what it refuses."""
        url = "/".join((self.url, "_test", *path))
        response = self.http.request(method, url, json=given)
        if response.status_code >= 400:
            raise AssertionError(response.text)
        return response.json()

    def key(self, *permissions: str, kind: str = "rk", mode: str = "test", account: str) -> str:
        """A new key of `account`; with `permissions` it has these alone."""
        made = f"{kind}_{mode}_{account.replace('_', '')}{time.monotonic_ns()}"
        given: dict[str, Any] = {"permissions": list(permissions)} if permissions else {}
        self.test("keys", key=made, account=account, **given)
        return made

    def calls(self) -> Any:
        return self.test("calls", method="GET")

    def events(self, about: str) -> list[Any]:
        """Types and ids of all events about an object and its payment, oldest first."""
        return list(self.test("events", "about", about, method="GET")["events"])

    def signed(self, event_id: str) -> list[Any]:
        """`url`, `body` and `signature` for each endpoint that wants the event."""
        return list(self.test("events", event_id, "signed", method="GET")["signed"])


@contextmanager
def running(path: Path | None = None) -> Iterator[Running]:
    """Serve on a free port until the end of the block."""
    program = FakeStripe(path)
    config = uvicorn.Config(
        program,
        host="127.0.0.1",
        port=0,
        log_level="error",
        ws="none",
        lifespan="on",
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="fake-stripe", daemon=True)
    thread.start()
    ends = time.monotonic() + START_S
    while not server.started:
        if not thread.is_alive() or time.monotonic() > ends:
            raise AssertionError("the Stripe stand-in did not start")
        time.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    http = httpx.Client(timeout=CALL_S, trust_env=False, verify=False)
    try:
        with http:
            yield Running(f"http://127.0.0.1:{port}", program, http)
    finally:
        server.should_exit = True
        thread.join(START_S)
