"""The product as people run it: server processes of its own, on this worker's database."""

import os
import signal
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings
from django.db import transaction
from django.test import override_settings

from billing.movements import Reason, deposit
from billing.tasks import reap_holds
from billing.verification import verify
from config.dev.probes import http_answers
from config.dev.process import Child, wait_until
from config.dev.servers import HOST, free_port
from config.kit import ids
from paywalls.models import ApiKey, Paywall
from providers import connections
from providers.models import Model
from tests.factories import ACTOR, PaywallFactory, PriceVersionFactory, make_key
from tests.fakes.behaviours import BEHAVIOURS
from tests.fakes.upstream import PREFIX
from tests.support.patience import PATIENCE_S
from tests.support.sources import ROOT

MODEL = "model"
FAKE = (MODEL, *(f"{PREFIX}{behaviour}" for behaviour in BEHAVIOURS))
"""What the fake provider offers: every way to misbehave as a model of its own."""

PROVIDER_KEY = "sk-canary-of-the-provider"
"""What the product must send to the fake provider, and tell nobody else."""

LEASE_S = 2
HEARTBEAT_S = 0.25
START_S = 90
COST = {"prompt": 1_000_000_000, "completion": 2_000_000_000}
"""1,000 and 2,000 nanos for a token; the factory's prices add 20 %."""

UNIT = 10**9
PROMPT_NANOS, OUTPUT_NANOS = 1_200, 2_400
CHARGE = 9 * PROMPT_NANOS + 5 * OUTPUT_NANOS
"""Of an answer with the fake provider's usage."""

PROMPT_TOKENS_MOST = 60
"""Of the chats in `tests.support.chats`, however they are counted."""

WHY = Reason(actor=ACTOR, reason="tests")


@dataclass(frozen=True)
class Server:
    """One running program that speaks HTTP."""

    child: Child
    port: int

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def send(self, number: signal.Signals) -> None:
        self.child.process.send_signal(number)

    def wait(self, timeout_s: float = PATIENCE_S) -> int:
        """Its exit code."""
        return self.child.process.wait(timeout_s)

    def kill(self) -> None:
        """As `kill -9` does, whatever it is doing."""
        if self.child.is_running:
            self.send(signal.SIGKILL)
        self.wait()


@dataclass(frozen=True)
class Wallet:
    """In nanos. held: what open holds set aside."""

    posted: int
    held: int


@dataclass(frozen=True)
class Shop:
    """A paywall that sells `model`, and how its developer's app reaches it."""

    server: Server
    paywall: Paywall
    key: ApiKey
    token: str

    @property
    def api(self) -> str:
        return f"{self.server.url}/v1"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def at(self, server: Server) -> "Shop":
        """The same, through another process."""
        return replace(self, server=server)

    def funded(self, nanos: int = UNIT) -> str:
        """A new user with so much money."""
        user = f"user_{ids.uuid7().hex}"
        deposit(self.paywall, user, nanos, WHY)
        return user

    def wallet(self, user: str) -> Wallet:
        row = _row(
            "SELECT a.posted, a.held FROM ledger_account a"
            " JOIN paywalls_enduser u ON u.wallet_id = a.id"
            " WHERE u.paywall_id = %s AND u.external_id = %s",
            [self.paywall.pk, user],
        )
        return Wallet(*row)

    def holds(self, condition: str = "true") -> int:
        """How many open holds meet a condition in SQL on the hold `h`."""
        (count,) = _row(
            "SELECT count(*) FROM ledger_hold h"
            " JOIN paywalls_enduser u ON u.wallet_id = h.account_id"
            f" WHERE u.paywall_id = %s AND h.state = 0 AND ({condition})",
            [self.paywall.pk],
        )
        assert isinstance(count, int)
        return count

    def ends(self) -> list[tuple[str, str, int]]:
        """Status, policy and charge of every request that ended, the first one first."""
        with psycopg.connect(settings.DATABASE_URL) as connection:
            return connection.execute(
                "SELECT status, policy, charged FROM billing_request WHERE paywall_id = %s"
                " ORDER BY created_at",
                [self.paywall.pk],
            ).fetchall()

    def written_off(self) -> list[tuple[int, str]]:
        with psycopg.connect(settings.DATABASE_URL) as connection:
            return connection.execute(
                "SELECT nanos, reason FROM billing_writeoff WHERE paywall_id = %s",
                [self.paywall.pk],
            ).fetchall()


def make_shop(server: Server, url: str, **connection: Any) -> Shop:
    """A paywall of its own with a key, that sells what `sell` takes."""
    paywall = PaywallFactory.create()
    PriceVersionFactory.create(paywall=paywall)
    sell(paywall, url, **connection)
    return Shop(server, paywall, *make_key(paywall))


def sell(
    paywall: Paywall,
    url: str,
    *,
    kind: str = "compatible",
    name: str = "fake",
    models: Iterable[str] = FAKE,
    **more: Any,
) -> None:
    """Connect a provider at that base URL and offer its models.

    more: `key`, `settlement` and other fields of `connections.Draft`.
    """
    with transaction.atomic():
        fields = {"key": PROVIDER_KEY, **more}
        draft = connections.Draft(kind=kind, name=name, base_url=url, **fields)
        connection = connections.create(paywall, draft, actor=ACTOR)
    Model.objects.bulk_create(
        Model(kind=kind, connection=connection, name=model, cost=COST, source="tests")
        for model in models
    )


def start_web(folder: Path, log: Path | None = None, **environment: str) -> Server:
    """Web and proxy, with leases that a test can wait for; returns when it is ready."""
    port = free_port()
    short = {
        "BASE_URL": f"http://{HOST}:{port}",
        "HOLD_LEASE_S": str(LEASE_S),
        "HOLD_HEARTBEAT_S": str(HEARTBEAT_S),
        "DB_POOL_SIZE": "2",
        "LOG_JSON": "false",
        "DRAIN_S": "10",
        **environment,
    }
    options = ["--lifespan=on", f"--timeout-graceful-shutdown={short['DRAIN_S']}"]
    log = log or folder / f"{port}.log"
    return _start("config.asgi:application", port, options, log, short)


def start_provider(folder: Path, port: int) -> Server:
    """The demo provider; its words come fast."""
    log = folder / f"{port}.log"
    return _start("providers.demo.app:app", port, [], log, {"DEMO_WORD_MS": "1"})


def _start(
    app: str, port: int, options: list[str], log: Path, environment: dict[str, str]
) -> Server:
    command = [
        sys.executable,
        "-m",
        "config.serve",
        "--loop=uvloop",
        "--http=config.protocol:Protocol",
        "--ws=none",
    ]
    command += ["--no-access-log", "--no-server-header", "--no-proxy-headers", f"--port={port}"]
    child = Child(
        name=app,
        command=[*command, *options, app],
        log=log,
        environment={**os.environ, **environment},
        folder=ROOT,
    ).start()
    server = Server(child, port)
    path = "/readyz" if app.startswith("config") else "/healthz"
    try:
        wait_until(
            lambda: http_answers(server.url + path),
            children=[child],
            timeout_s=START_S,
            what=app,
        )
    except BaseException:
        server.kill()
        raise
    return server


def is_price_of(nanos: int, *, output: int) -> bool:
    """Whether this pays for so many tokens of output, and for one prompt."""
    return 0 < nanos - output * OUTPUT_NANOS < PROMPT_TOKENS_MOST * PROMPT_NANOS


def reap() -> int:
    """What the worker does every five seconds."""
    with override_settings(HOLD_LEASE_S=LEASE_S):
        return reap_holds()


def broken_promises() -> list[str]:
    """Invariants that do not hold. I8 is left out: other tests leave holds open."""
    return [f"{r.number}: {r.promise}" for r in verify() if r.broken and r.number != "I8"]


def _row(query: str, arguments: list[object]) -> tuple[int, ...]:
    with psycopg.connect(settings.DATABASE_URL) as connection:
        row: tuple[int, ...] | None = connection.execute(query.encode(), arguments).fetchone()
    assert row is not None
    return row
