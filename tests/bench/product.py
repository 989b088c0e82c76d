"""The product as in production, on a PostgreSQL of its own, and what its ledger says afterwards."""

import http.client
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psycopg

from config.dev import database, servers
from config.dev.probes import http_answers
from config.dev.process import UVICORN, Child, NotStartedError, wait_until
from config.dev.stack import Stack
from config.dev.state import State

USERS = 1000
HOT = "hot"
MONEY = "100000"
DEPOSIT = "/v1/user/balance/deposit"
READY_S = 60
HOLDS_S = 45
"""Longer than a lease: by then even a hold that its server forgot must have ended."""
TUNING = {
    "shared_buffers": "1GB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
}
"""Durable, with room: a checkpoint in the middle of a run would be luck."""


@dataclass(frozen=True)
class Audit:
    """After the last answer. charges: those in the ledger; answers: paid ones the driver got."""

    charges: int
    answers: int
    open_holds: int
    printed: str
    holds: bool


class Product:
    """PostgreSQL, Valkey, and one paywall that sells the stub's models to 1,001 users."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.stack = Stack(state, print)
        self.key = ""

    def start_servers(self, web_port: int) -> None:
        """Raises: NotStartedError."""
        self.state.prepare()
        self.stack.start()
        self._tune()
        self.stack.environment |= {
            "BASE_URL": f"http://localhost:{web_port}",
            "EGRESS_ALLOW": "127.0.0.0/8",
            "LOG_JSON": "true",
        }
        self.stack.migrate()

    @property
    def postgres(self) -> Child:
        return self.stack.children[0]

    def _tune(self) -> None:
        """Some of it counts from a start only."""
        settings = self.state.folder / "postgres" / "data" / "postgresql.conf"
        with settings.open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in TUNING.items())
        self.postgres.stop()
        self.postgres.wait(READY_S)
        self.postgres.start()
        wait_until(
            lambda: self._ask("SELECT 1") == 1,
            children=[self.postgres],
            timeout_s=READY_S,
            what="PostgreSQL",
        )

    def _ask(self, question: str) -> Any:
        """The first value of the answer, None while nobody answers."""
        try:
            with psycopg.connect(self.stack.environment["DATABASE_OWNER_URL"]) as owner:
                row = owner.execute(question).fetchone()
        except psycopg.OperationalError:
            return None
        return row[0] if row else None

    def version(self) -> str:
        return str(self._ask("SHOW server_version")).split()[0]

    def set_up(self, stub_port: int) -> None:
        """The paywall, its connection, prices and key."""
        upstream = f"http://{servers.HOST}:{stub_port}/v1"
        self.manage("create_developer", "bench@example.com")
        self.manage("create_paywall", "Bench")
        connect = ("connect_provider", "--paywall=Bench", "--kind=compatible", "--name=stub")
        self.manage(*connect, "--key=stub", f"--base-url={upstream}")
        self.manage("sync_models", "--paywall=Bench", "--connection=stub")
        self.manage("set_price", "Bench", "--prefix=stub/", "--prompt=1", "--completion=2")
        self.key = self.manage("create_key", "Bench")["key"]

    def manage(self, *arguments: str) -> Mapping[str, str]:
        printed = database.manage(
            [*arguments, "--json"], self.stack.environment, log=self.state.log("manage")
        )
        answer: Mapping[str, str] = json.loads(printed)
        return answer

    def start_web(self, name: str, port: int, processes: int) -> Child:
        """As the image runs it; does not wait."""
        command = [*UVICORN, "--no-server-header", "--lifespan=on", f"--port={port}"]
        command += [f"--workers={processes}"] if processes > 1 else []
        return Child(
            name=name,
            command=[*command, "config.asgi:application"],
            log=self.state.log(name),
            environment={**os.environ, **self.stack.environment},
            folder=database.ROOT,
        ).start()

    def wait_for_web(self, child: Child, port: int) -> None:
        url = f"http://{servers.HOST}:{port}/readyz"
        wait_until(lambda: http_answers(url), children=[child], timeout_s=READY_S, what=child.name)

    def fund(self, port: int) -> None:
        """Give every user money, through the API.

        Raises: NotStartedError with the first answer that is not 200.
        """
        connection = http.client.HTTPConnection(servers.HOST, port, timeout=30)
        body = json.dumps({"amount": MONEY})
        for user in (HOT, *(f"bench:{number}" for number in range(USERS))):
            headers = {"Authorization": f"Bearer {self.key}", "X-Paywall-User": user}
            connection.request("POST", DEPOSIT, body, headers)
            answer = connection.getresponse()
            told = answer.read()
            if answer.status != 200:
                raise NotStartedError(f"depositing failed ({answer.status}): {told[:300]!r}")
        connection.close()

    def tidy(self) -> None:
        """Statistics for the planner, and no checkpoint soon."""
        owner_url = self.stack.environment["DATABASE_OWNER_URL"]
        # The cluster is our own: all its roles have one password.
        url = owner_url.replace(servers.OWNER_ROLE, servers.SUPERUSER, 1)
        with psycopg.connect(url, autocommit=True) as superuser:
            superuser.execute("VACUUM ANALYZE")
            superuser.execute("CHECKPOINT")

    def audit(self, answers: int) -> Audit:
        """Wait until no hold is open, then let `ledger_verify` look."""
        held = "SELECT count(*) FROM ledger_hold WHERE state = 0"
        with suppress(NotStartedError):  # Then the count of open holds says so.
            wait_until(
                lambda: self._ask(held) == 0, children=[], timeout_s=HOLDS_S, what="the last hold"
            )
        try:
            printed = database.manage(
                ["ledger_verify"], self.stack.environment, log=self.state.log("verify")
            )
            holds = True
        except NotStartedError as error:
            printed, holds = str(error), False
        charges = self._ask("SELECT count(*) FROM billing_charge")
        return Audit(charges, answers, self._ask(held), printed.strip(), holds)

    def stop(self) -> None:
        self.stack.stop()
