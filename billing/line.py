"""A connection of its own for one kind of call: one prepared function, one text value, at a time.

The gate's calls are many and alike, and at one client their latency is most of what a request
costs; so they skip cursors, adaptation and pool (measured: 0.15 ms less a call) and speak to libpq
directly. Everything else uses `billing.database.Database`.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import psycopg
from psycopg import pq
from psycopg.errors import error_from_result

from billing.database import OPTIONS
from config.kit.db import KEEPALIVE

OK: Final = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK)


class Line:
    """Calls functions that return one text value. The caller sees to one call at a time.

    statement_s: what the server ends by itself, when the caller has given up on it.
    """

    def __init__(self, url: str, *, statement_s: float) -> None:
        self._url = url
        self._options = f"{OPTIONS} -c statement_timeout={int(statement_s * 1000)}"
        self._connection: psycopg.AsyncConnection[tuple[object, ...]] | None = None
        self._watched: int | None = None  # A lost connection no longer tells its socket.
        self._prepared: dict[str, bytes] = {}
        self._readable: asyncio.Future[None] | None = None

    async def call(self, query: str, arguments: Sequence[str]) -> bytes:
        """The value, as text. `query` numbers its arguments $1, $2, ….

        Raises: psycopg.Error; after an OperationalError the next call connects anew.
        """
        if self._connection is None:
            await self._connect()
        try:
            name = self._prepared.get(query) or await self._prepare(query)
            connection = self._pgconn()
            connection.send_query_prepared(name, [text.encode() for text in arguments])
            result = await self._result(connection)
        except (psycopg.OperationalError, asyncio.CancelledError):
            await self.close()
            raise
        if result.status not in OK:
            raise error_from_result(result)
        return result.get_value(0, 0) or b"null"

    async def close(self) -> None:
        self._unwatch()
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _connect(self) -> None:
        self._prepared.clear()
        self._connection = await psycopg.AsyncConnection.connect(
            self._url, autocommit=True, options=self._options, **KEEPALIVE
        )
        self._watched = self._pgconn().socket
        asyncio.get_running_loop().add_reader(self._watched, self._read)

    def _unwatch(self) -> None:
        if self._watched is not None:
            asyncio.get_running_loop().remove_reader(self._watched)
            self._watched = None

    async def _prepare(self, query: str) -> bytes:
        name = b"call_%d" % len(self._prepared)
        connection = self._pgconn()
        connection.send_prepare(name, query.encode())
        result = await self._result(connection)
        if result.status not in OK:
            raise error_from_result(result)
        self._prepared[query] = name
        return name

    async def _result(self, connection: "pq.abc.PGconn") -> "pq.abc.PGresult":
        """The result of what was sent; there is one, and then none."""
        while connection.flush():
            await self._writable(connection.socket)
        if connection.is_busy():
            self._readable = asyncio.get_running_loop().create_future()
            await self._readable
        result = connection.get_result()
        if result is None:
            raise psycopg.OperationalError("the connection was lost")
        while connection.get_result() is not None:
            pass
        return result

    def _pgconn(self) -> "pq.abc.PGconn":
        assert self._connection is not None
        return self._connection.pgconn

    def _read(self) -> None:
        """The socket has something: take it in, and wake the call when its result is whole."""
        waiting = self._readable
        try:
            connection = self._pgconn()
            connection.consume_input()
            done = not connection.is_busy()
        except psycopg.OperationalError as error:
            self._unwatch()
            if waiting is not None and not waiting.done():
                waiting.set_exception(error)
            return
        if done and waiting is not None and not waiting.done():
            waiting.set_result(None)

    async def _writable(self, socket: int) -> None:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        loop.add_writer(socket, ready.set_result, None)
        try:
            await ready
        finally:
            loop.remove_writer(socket)
