"""The worker in a process of its own, tasks for it to die in, and how one is held up."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from asgiref.sync import async_to_sync, sync_to_async
from django.conf import settings
from django.db import connections

from config.celery import app
from config.dev.process import Child
from tests.fakes.wire import Wire
from tests.support.sources import ROOT
from tests.support.streams import until

WAITING_FOR_ME = """
    SELECT pid FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))
"""
WALLET = "SELECT FROM ledger_account WHERE id = %(key)s FOR NO KEY UPDATE"
SHORT = {"HOLD_LEASE_S": "2", "HOLD_HEARTBEAT_S": "0.5"}
OPTIONS = ("--pool=solo", "--without-gossip", "--without-mingle", "--without-heartbeat")


@dataclass(frozen=True)
class Work:
    """A task with something to do, and whether that is done, once.

    lock: in SQL, what it needs before it commits; of key, an id. again: lets the time pass after
    which somebody else takes up what a dead worker had begun.
    """

    task: Any
    is_done: Callable[[], Awaitable[bool]]
    key: UUID
    lock: str = WALLET
    again: Callable[[], object] = bool

    async def run(self) -> None:
        """As the worker runs it."""
        await sync_to_async(self.again)()
        await sync_to_async(self.task)()

    def hold_up(self, owner: psycopg.Connection) -> None:
        """In the owner's transaction."""
        owner.execute(self.lock.encode(), {"key": self.key})


@asynccontextmanager
async def worker(folder: Path, redis_url: str, **environment: str) -> AsyncIterator[Child]:
    """A real one, in a process of its own."""
    child = Child(
        name="worker",
        command=[sys.executable, "-m", "celery", "-A", "config", "worker", *OPTIONS],
        log=folder / "worker.log",
        environment={**os.environ, **SHORT, "REDIS_URL": redis_url, **environment},
        folder=ROOT,
    ).start()
    try:
        yield child
    finally:
        child.process.kill()
        await asyncio.to_thread(child.process.wait)


async def send(task: str) -> None:
    with app.connection_for_write() as broker:
        await asyncio.to_thread(app.send_task, task, connection=broker)


def is_waited_for(owner: psycopg.Connection) -> bool:
    return bool(owner.execute(WAITING_FOR_ME).fetchall())


def end_those_waiting(owner: psycopg.Connection) -> None:
    """A superuser may; they roll back."""
    with psycopg.connect(os.environ["TEST_ADMIN_URL"], autocommit=True) as admin:
        for (pid,) in owner.execute(WAITING_FOR_ME).fetchall():
            admin.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


async def killed_before_its_commit(
    work: Work, owner: psycopg.Connection, folder: Path, **environment: str
) -> bool:
    """And the machine with it, so that PostgreSQL hears of it.

    True: all was as before, and then it was done, and a second run changed nothing.
    """
    await send(work.task.name)
    async with worker(folder, settings.REDIS_URL, **environment) as child:
        with owner.transaction():
            work.hold_up(owner)
            await until(lambda: is_waited_for(owner))
            child.process.kill()
            end_those_waiting(owner)
    assert not await work.is_done()
    await work.run()
    assert await work.is_done()
    await work.run()
    return await work.is_done()


async def killed_after_its_commit(
    work: Work, owner: psycopg.Connection, folder: Path, **environment: str
) -> bool:
    """Before the broker hears that it is done, so that it is delivered again: true if done once."""
    await send(work.task.name)
    async with (
        Wire(settings.REDIS_URL) as wire,
        worker(folder, wire.url, **environment) as child,
    ):
        with owner.transaction():
            work.hold_up(owner)
            await until(lambda: is_waited_for(owner))
            wire.freeze()
        await until(async_to_sync(work.is_done))
        child.process.kill()
    await work.run()
    return await work.is_done()


async def twice_at_once(work: Work, owner: psycopg.Connection) -> bool:
    """What a task is to do is not in the queue, which is empty: true if it was done once."""
    with owner.transaction():
        work.hold_up(owner)
        both = asyncio.gather(*(asyncio.to_thread(_run_apart, work.task) for _ in range(2)))
        await until(lambda: is_waited_for(owner))
    await both
    return await work.is_done()


def _run_apart(task: Callable[[], object]) -> None:
    try:
        task()
    finally:
        connections.close_all()
