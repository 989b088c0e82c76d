"""The servers of one state folder, up and with a database in it."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

import psycopg

from config.dev import database, servers
from config.dev.probes import redis_answers
from config.dev.process import Child, NotStartedError, stop_all
from config.dev.state import State

DATABASE = "paywalls"
STOP_S = 15

type Say = Callable[[str], None]


@dataclass
class Stack:
    """What runs, and the environment that leads the product to it."""

    state: State
    say: Say
    children: list[Child] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)

    def start(self) -> None:
        """Start what the environment does not name, both at once; returns when both answer."""
        ports = self.state.ports("postgres", "valkey")
        postgres = None if os.environ.get("DATABASE_URL") else self._start_postgres(ports)
        if redis_url := os.environ.get("REDIS_URL"):
            if not redis_answers(redis_url):
                raise NotStartedError("nothing answers at REDIS_URL: start it, or unset REDIS_URL.")
            self.environment["REDIS_URL"] = redis_url
        else:
            self._start_valkey(ports)
        if postgres:
            servers.wait_for_postgres(postgres)
            self._make_databases(postgres)
        else:
            self._use_given_database(os.environ["DATABASE_URL"])
        self.environment |= self.state.secrets()

    def _start_postgres(self, ports: dict[str, int]) -> servers.Postgres:
        folder = self.state.folder / "postgres"
        if not (folder / "data").exists():
            self.say("Making a PostgreSQL cluster")
        postgres = servers.start_postgres(
            folder, port=ports["postgres"], log=self.state.log("postgres"), durable=True
        )
        self.children.append(postgres.child)
        self.say(f"PostgreSQL {postgres.version} on port {postgres.port}")
        return postgres

    def _start_valkey(self, ports: dict[str, int]) -> None:
        child, url = servers.start_valkey(
            self.state.folder / "valkey", port=ports["valkey"], log=self.state.log("valkey")
        )
        self.children.append(child)
        servers.wait_for_port(child, ports["valkey"])
        self.environment["REDIS_URL"] = url
        self.say(f"Valkey on port {ports['valkey']}")

    def _make_databases(self, postgres: servers.Postgres) -> None:
        database.make_database(
            postgres.url(servers.SUPERUSER, "postgres"), DATABASE, password=postgres.password
        )
        self.environment["DATABASE_URL"] = postgres.url(servers.APP_ROLE, DATABASE)
        self.environment["DATABASE_OWNER_URL"] = postgres.url(servers.OWNER_ROLE, DATABASE)

    def _use_given_database(self, url: str) -> None:
        """With one address it is the owner's, and the product's role is made beside it."""
        owner_url = os.environ.get("DATABASE_OWNER_URL")
        self.environment["DATABASE_OWNER_URL"] = owner_url or url
        self.environment["DATABASE_URL"] = url if owner_url else self._product_url(url)
        self.say("the PostgreSQL that DATABASE_URL names")

    def _product_url(self, owner_url: str) -> str:
        password = self.state.secrets()["SECRET_KEY"]
        try:
            with psycopg.connect(owner_url, autocommit=True) as owner:
                database.make_role(owner, servers.APP_ROLE, password)
        except psycopg.Error as error:
            raise NotStartedError(
                f"cannot prepare DATABASE_URL's server: {str(error).splitlines()[0]}. It must be"
                f" an owner's who may create roles, or set DATABASE_OWNER_URL too."
            ) from None
        parts = urlsplit(owner_url)
        place = parts.netloc.rpartition("@")[2]
        return urlunsplit(parts._replace(netloc=f"{servers.APP_ROLE}:{password}@{place}"))

    def migrate(self) -> bool:
        """Migrate unless the database says that it has these migrations; tells which."""
        owner_url = self.environment["DATABASE_OWNER_URL"]
        if database.is_migrated(owner_url):
            return False
        self.say("Migrating the database")
        database.migrate(owner_url, self.environment, log=self.state.log("migrate"))
        return True

    def stop(self) -> None:
        stop_all(self.children, timeout_s=STOP_S)
