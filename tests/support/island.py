"""A PostgreSQL of a test's own, which it may crash, fill and bring back from an older copy."""

import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from asgiref.sync import sync_to_async
from django.db import connections
from django.test import override_settings

from config.dev import servers, test
from config.dev.process import Child, stop_all


@dataclass
class Island:
    """One cluster. Its database is the migrated template itself."""

    folder: Path
    children: list[Child] = field(default_factory=list)

    def make(self) -> None:
        self.admin_url = test.start_postgres(self.folder, self.children)

    def start(self) -> None:
        """Again, after `crash`; returns when it answers, recovery and all."""
        parts = psycopg.conninfo.conninfo_to_dict(self.admin_url)
        postgres = servers.start_postgres(
            self.folder / "postgres",
            port=int(str(parts["port"])),
            log=self.folder / "postgres.log",
            durable=False,
        )
        self.children[:] = [postgres.child]
        servers.wait_for_postgres(postgres)

    def crash(self) -> None:
        """An immediate stop: nothing is written any more, and recovery has to do the rest."""
        (postgres,) = self.children
        postgres.process.send_signal(signal.SIGQUIT)
        postgres.process.wait(30)

    def remove(self) -> None:
        stop_all(self.children, timeout_s=10)
        shutil.rmtree(self.folder, ignore_errors=True)

    def save(self) -> None:
        """Keep a copy of its data; only while it is stopped."""
        shutil.copytree(self.folder / "postgres" / "data", self.folder / "saved")

    def restore(self) -> None:
        """Bring the copy back; only while it is stopped."""
        shutil.rmtree(self.folder / "postgres" / "data")
        (self.folder / "saved").rename(self.folder / "postgres" / "data")

    def url(self, role: str = servers.APP_ROLE) -> str:
        return test.role_url(self.admin_url, role, test.template_name())

    @property
    def environment(self) -> dict[str, str]:
        """What leads the product to it."""
        return {"DATABASE_URL": self.url(), "DATABASE_OWNER_URL": self.url(servers.OWNER_ROLE)}


@asynccontextmanager
async def living_on(island: Island) -> AsyncIterator[None]:
    """This process's Django, and so all helpers of the tests, on that database.

    The ORM must be used by `sync_to_async` alone, whose one thread can be told to connect anew.
    """
    mine = connections.settings["default"]
    before = dict(mine)
    theirs = psycopg.conninfo.conninfo_to_dict(island.url())
    names = {"host": "HOST", "port": "PORT", "user": "USER", "password": "PASSWORD"}
    mine |= {names[name]: value for name, value in theirs.items() if name in names}
    mine["NAME"] = theirs["dbname"]
    await forget_connections()
    try:
        with override_settings(**island.environment):
            yield
    finally:
        mine |= before
        await forget_connections()


async def forget_connections() -> None:
    connections.close_all()
    await sync_to_async(connections.close_all)()
