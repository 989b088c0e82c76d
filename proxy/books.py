"""What the last runs of the invariants found, for `/metrics`: read when somebody asks, at most
every few seconds, and never waited for long.
"""

import asyncio
import time
from typing import Final

from billing.errors import GateUnavailableError
from billing.reads import Books, Reads

FRESH_S: Final = 10.0
WAIT_S: Final = 1.0


async def latest(known: Books, reads: Reads) -> Books:
    """What is known, or newer. Where the database does not answer its age tells, and alarms."""
    if time.monotonic() - known.read_at < FRESH_S:
        return known
    try:
        async with asyncio.timeout(WAIT_S):
            return await reads.books()
    except (GateUnavailableError, TimeoutError):
        return known
