"""The hot path's way to Postgres: a small async pool, outside the ORM.

One call is one statement and one commit. Deadlocks and lost connections are tried again: every
function called here may run twice with the same ids.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import psycopg
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from billing.errors import GateUnavailableError
from config.kit.db import KEEPALIVE

TRIES: Final = 3
RETRY_S: Final = 0.05
WAIT_S: Final = 5.0
"""The longest wait for a connection."""

READ_S: Final = 10.0
"""The longest that a read waits, connection and all."""

# Plans for batches of any size from one prepared statement; tables that were small when a plan was
# made grow under it, so plans that read them whole are never wanted.
OPTIONS: Final = (
    "-c jit=off -c plan_cache_mode=force_generic_plan -c enable_hashjoin=off"
    " -c enable_mergejoin=off -c enable_seqscan=off -c statement_timeout=20000"
    " -c synchronous_commit=on -c application_name=paywalls-gate"
)
TRANSIENT: Final = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)

retries: Final[Counter[str]] = Counter()
"""How often this process tried again, by SQLSTATE, for the metrics."""


async def persistently[T](once: Callable[[], Awaitable[T]], *, within_s: float) -> T:
    """The result of a call that may run twice, tried again after deadlocks and lost connections.

    within_s: for all tries. A database that takes the call and never answers breaks no connection.
    Raises: GateUnavailableError when the database stays away; psycopg.Error otherwise.
    """
    try:
        async with asyncio.timeout(within_s):
            return await _again_and_again(once)
    except TRANSIENT:
        raise
    except (TimeoutError, psycopg.OperationalError) as error:
        raise GateUnavailableError(
            "The platform's database cannot be reached. Nothing was charged; try again in a few"
            " seconds.",
            retry_after_s=5,
        ) from error


async def _again_and_again[T](once: Callable[[], Awaitable[T]]) -> T:
    for attempt in range(TRIES - 1):
        try:
            return await once()
        except PoolTimeout:
            raise
        except psycopg.OperationalError as error:
            retries[error.sqlstate or "connection"] += 1
        await asyncio.sleep(RETRY_S * (attempt + random.random()))  # noqa: S311
    return await once()


class Database:
    """The pool, and one way to call a function."""

    def __init__(self, url: str, *, size: int) -> None:
        self.url = url

        async def configure(connection: psycopg.AsyncConnection[TupleRow]) -> None:
            connection.prepare_threshold = 0

        self._pool: AsyncConnectionPool[psycopg.AsyncConnection[TupleRow]] = AsyncConnectionPool(
            url,
            min_size=size,
            max_size=size,
            timeout=WAIT_S,
            kwargs={"autocommit": True, "options": OPTIONS, **KEEPALIVE},
            configure=configure,
            open=False,
        )

    async def open(self) -> None:
        """Opens without waiting: a database that is down makes calls fail, not the start."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        await self._pool.close()

    async def rows(self, query: str, arguments: Sequence[Any]) -> list[TupleRow]:
        """All rows of one statement.

        Raises: GateUnavailableError when the database stays away; psycopg.Error otherwise.
        """

        async def once() -> list[TupleRow]:
            async with self._pool.connection() as connection:
                cursor = await connection.execute(query, arguments)
                return await cursor.fetchall()

        return await persistently(once, within_s=READ_S)

    async def value(self, query: str, arguments: Sequence[Any]) -> Any:
        """The first column of the first row, or None."""
        rows = await self.rows(query, arguments)
        return rows[0][0] if rows else None
