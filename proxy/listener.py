"""Hears of configuration changes from PostgreSQL, on a connection of its own."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol
from uuid import UUID

import psycopg

CHANNEL: Final = "paywalls_config"
RETRY_S: Final = 1.0
PULSE_S: Final = 1.0
"""How often a silent connection is asked whether it lives: changes are late by as much at most."""
CONNECT_S: Final = 5

logger = logging.getLogger("paywalls.snapshot")


class Heard(Protocol):
    """Told when listening begins and ends."""

    def __call__(self, *, is_heard: bool) -> None: ...


async def listen(dsn: str, *, drop: Callable[[UUID | None], None], heard: Heard) -> None:
    """Call `drop` for each change, for ever; after a broken connection everything is in doubt."""
    while True:
        try:
            async with await psycopg.AsyncConnection.connect(
                dsn, autocommit=True, connect_timeout=CONNECT_S
            ) as connection:
                await connection.execute(f"LISTEN {CHANNEL}")
                heard(is_heard=True)
                await _hear(connection, drop)
        except (psycopg.Error, OSError) as error:
            logger.warning("not listening for changes: %s", type(error).__name__)
        finally:
            heard(is_heard=False)
        await asyncio.sleep(RETRY_S)


async def _hear(connection: psycopg.AsyncConnection, drop: Callable[[UUID | None], None]) -> None:
    """Returns only by an exception. A silent connection is asked whether it still lives."""
    while True:
        async for notice in connection.notifies(timeout=PULSE_S):
            drop(_paywall_id(notice.payload))
        async with asyncio.timeout(PULSE_S):
            await connection.execute("SELECT 1")


def _paywall_id(payload: str) -> UUID | None:
    """None, which means all, for everything that is not one paywall's id."""
    try:
        return UUID(payload)
    except ValueError:
        return None
