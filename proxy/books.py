"""What the database knows of the product's health, for `/metrics`: read when somebody asks, at most
every few seconds, and never waited for long.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from billing.errors import GateUnavailableError

FRESH_S: Final = 10.0
WAIT_S: Final = 1.0


class Reading(Protocol):
    """What was read, and when: monotonic seconds."""

    @property
    def read_at(self) -> float: ...


async def latest[R: Reading](known: R, read: Callable[[], Awaitable[R]]) -> R:
    """What is known, or newer. Where the database does not answer its age tells, and alarms."""
    if time.monotonic() - known.read_at < FRESH_S:
        return known
    try:
        async with asyncio.timeout(WAIT_S):
            return await read()
    except (GateUnavailableError, TimeoutError):
        return known
