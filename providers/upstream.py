"""The client of the hot path: POST to a provider, over kept connections, to checked addresses.

No redirects, no proxy from the environment, no compression, everything bounded. A connection that
was kept and turns out to be dead is replaced once, if nothing of an answer had come.
"""

import asyncio
import ssl
from collections import deque
from typing import Final

from config.kit import egress, limits
from providers import network
from providers.errors import CutError, FailedError, UnreachableError
from providers.types import Endpoint, Timeouts
from providers.wire import Connection, Reply

__all__ = ["Reply", "Upstream"]

Origin = tuple[str, str, int]

_FIXED_HEADERS: Final = (
    b"Content-Type: application/json\r\n"
    b"Accept: application/json, text/event-stream\r\n"
    b"Accept-Encoding: identity\r\n"
    b"User-Agent: paywalls\r\n"
)


class Upstream:
    """All connections to providers of one process."""

    def __init__(
        self,
        rules: egress.Policy | None = None,
        *,
        lookup: egress.Lookup = egress.system_lookup,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._rules = rules
        self._lookup = lookup
        self._tls = tls
        self._pools: dict[Origin, _Pool] = {}

    async def post(self, endpoint: Endpoint, path: str, body: bytes) -> Reply:
        """Send a JSON body and wait for status and headers. `drop()` what is returned.

        path: below the base path, `/chat/completions`.

        Raises: ProviderError: UnreachableError, LateError, CutError, FailedError, OversizeError.
        A status of 400 or more is an answer; a redirect is a FailedError.
        """
        message = b"".join(
            (
                f"POST {endpoint.base_path}{path} HTTP/1.1\r\n"
                f"Host: {_authority(endpoint)}\r\n".encode("ascii"),
                endpoint.headers,
                _FIXED_HEADERS,
                b"Content-Length: %d\r\n\r\n" % len(body),
                body,
            )
        )
        pool = self._pool(endpoint)
        connection = pool.spare()
        if connection is not None:
            reply = await _exchange(connection, message, endpoint.timeouts)
            if reply is not None:
                return reply
        connection = await pool.connect(endpoint.timeouts)
        fresh = await _exchange(connection, message, endpoint.timeouts)
        assert fresh is not None, "only a used connection can be stale"
        return fresh

    async def close(self) -> None:
        """Close every connection, also those in use."""
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()

    def _pool(self, endpoint: Endpoint) -> "_Pool":
        origin = (endpoint.scheme, endpoint.host, endpoint.port)
        pool = self._pools.get(origin)
        if pool is None:
            if self._rules is None:
                self._rules = network.policy()
            if self._tls is None and endpoint.scheme == "https":
                self._tls = _tls()
            tls = self._tls if endpoint.scheme == "https" else None
            pool = self._pools[origin] = _Pool(origin, self._rules, self._lookup, tls)
        return pool


class _Pool:
    """The connections to one origin. The newest spare one is used first; old ones expire."""

    def __init__(
        self,
        origin: Origin,
        rules: egress.Policy,
        lookup: egress.Lookup,
        tls: ssl.SSLContext | None,
    ) -> None:
        _, self._host, self._port = origin
        self._rules = rules
        self._lookup = lookup
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._spares: deque[Connection] = deque()
        self._open: set[Connection] = set()
        self._opening = 0
        self._sweeper: asyncio.TimerHandle | None = None

    def spare(self) -> Connection | None:
        while self._spares:
            connection = self._spares.pop()
            if connection.is_open:
                return connection
        return None

    async def connect(self, timeouts: Timeouts) -> Connection:
        """A new connection, to an address that was checked for it.

        Raises: UnreachableError.
        """
        if len(self._open) + self._opening >= limits.UPSTREAM_CONNECTIONS_MAX:
            raise UnreachableError("Too many requests to this provider are under way.")
        self._opening += 1
        try:
            async with asyncio.timeout(timeouts.connect_s):
                return await self._connect(timeouts.connect_s)
        except egress.DestinationRefusedError as refusal:
            raise UnreachableError("The provider's address is not allowed.") from refusal
        except OSError as problem:  # gaierror, refused, TimeoutError and ssl.SSLError are OSErrors
            raise UnreachableError("The provider cannot be reached.") from problem
        finally:
            self._opening -= 1

    async def _connect(self, timeout_s: float) -> Connection:
        addresses = await egress.resolve(
            self._host, self._port, self._rules, timeout_s=timeout_s, lookup=self._lookup
        )
        problem: OSError | None = None
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            try:
                # An address that swallows packets must leave time for the next one.
                async with asyncio.timeout(timeout_s / left):
                    _, connection = await self._loop.create_connection(
                        self._connection,
                        address,
                        self._port,
                        ssl=self._tls,
                        server_hostname=self._host if self._tls else None,
                    )
            except OSError as failure:
                problem = failure
            else:
                self._open.add(connection)
                return connection
        assert problem is not None, addresses
        raise problem

    def close(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in list(self._open):
            connection.abort()

    def _connection(self) -> Connection:
        return Connection(self._loop, self._keep, self._open.discard)

    def _keep(self, connection: Connection) -> None:
        if len(self._spares) >= limits.UPSTREAM_SPARE_MAX:
            self._spares.popleft().abort()
        self._spares.append(connection)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(limits.UPSTREAM_SPARE_S, self._sweep)

    def _sweep(self) -> None:
        """Close what nobody has used for a while, or the provider has closed; one timer a pool."""
        self._sweeper = None
        expired = self._loop.time() - limits.UPSTREAM_SPARE_S
        while self._spares and (
            self._spares[0].idle_since <= expired or not self._spares[0].is_open
        ):
            self._spares.popleft().abort()
        if self._spares:
            wait_s = max(0.0, self._spares[0].idle_since - expired)
            self._sweeper = self._loop.call_later(wait_s, self._sweep)


async def _exchange(connection: Connection, message: bytes, timeouts: Timeouts) -> Reply | None:
    """Send, and wait for the head. None: a kept connection was already dead, nothing happened."""
    was_used = connection.used > 0
    reply = connection.send(message, timeouts)
    try:
        await reply.head()
    except CutError:
        if was_used and connection.is_silent:
            return None
        raise
    except asyncio.CancelledError:
        reply.drop()
        raise
    if 300 <= reply.status < 400:
        reply.drop()
        raise FailedError("The provider answered with a redirect; none is followed.")
    return reply


def _authority(endpoint: Endpoint) -> str:
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    own_port = egress.DEFAULT_PORT[endpoint.scheme]
    return host if endpoint.port == own_port else f"{host}:{endpoint.port}"


def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
