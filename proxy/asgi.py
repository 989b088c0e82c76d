"""The public API as an ASGI application: `/v1/…` and the operator's addresses.

Its lifespan opens and closes what handlers use, and waits for running requests in between.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from django.conf import settings

from billing.errors import GateUnavailableError
from config.kit.errors import PaywallsError
from proxy import body, system
from proxy.errors import BodyTooLargeError, InternalServerError, ShuttingDownError
from proxy.reader import read_call
from proxy.requests import Exchange, Message, Receive, Send
from proxy.responses import CLOSE, send_early_error
from proxy.router import Public, Router
from proxy.routes import ROUTES
from proxy.services import Services
from proxy.watch import ClientGoneError

logger = logging.getLogger("paywalls.proxy")


class Application:
    """One process's public API.

    open_services: called when the lifespan begins.
    """

    def __init__(self, open_services: Callable[[], Awaitable[Services]] = Services.open) -> None:
        self._open_services = open_services
        self._router: Final = Router(ROUTES)
        self._services: Services | None = None
        self._running = 0
        self._is_draining = False
        self._idle = asyncio.Event()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._handle(Exchange(scope, receive, send))
        elif scope["type"] == "lifespan":
            await self._live(receive, send)

    async def _handle(self, exchange: Exchange) -> None:
        """Answer one request, whatever happens, and count it."""
        self._running += 1
        try:
            await self._answer(exchange)
        except PaywallsError as error:
            await self._refuse(exchange, error)
        except ClientGoneError:
            exchange.facts["decision"] = "client_gone"
        except Exception:
            # An answer that has begun ends without its end, and the server hangs up.
            logger.exception("a request broke", extra={"request_id": exchange.id_text})
            await self._refuse(exchange, InternalServerError())
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()
            self._count(exchange)

    async def _answer(self, exchange: Exchange) -> None:
        """Find what is asked for, read the request as far as that needs, and let it answer.

        Raises: PaywallsError; ClientGoneError.
        """
        scope, services = exchange.scope, self._services
        path: str = scope["path"]
        if path in system.PATHS:
            await system.answer(exchange, services, is_draining=self._is_draining)
            return
        if services is None or self._is_draining:
            raise ShuttingDownError
        match = self._router.resolve(path, scope["raw_path"])
        exchange.route = match.route.name
        endpoint = match.route.on(scope["method"])
        if isinstance(endpoint, Public):
            await endpoint.handler(exchange, match.parts)
            return
        exchange.moves_money = endpoint.moves_money
        call = await read_call(exchange, match, endpoint, services.snapshots)
        await endpoint.handler(services, call)

    async def _refuse(self, exchange: Exchange, error: PaywallsError) -> None:
        """The one place where refusals become answers, unless one has begun."""
        if isinstance(error, GateUnavailableError):
            logger.warning("refused: %s", error.message, extra={"request_id": exchange.id_text})
        if exchange.status:
            return
        # What is left of a refused body would have to be read to keep the connection.
        if error.status in (408, 413) or isinstance(error, ShuttingDownError):
            await send_early_error(exchange, error, [CLOSE], is_whole=False)
            if not (isinstance(error, BodyTooLargeError) and error.is_read):
                await body.discard(exchange.receive)
            await exchange.send({"type": "http.response.body"})
        else:
            await send_early_error(exchange, error)

    def _count(self, exchange: Exchange) -> None:
        if self._services is not None:
            self._services.metrics.answered(exchange)
            self._services.metrics.in_flight = self._running

    async def _live(self, receive: Receive, send: Send) -> None:
        """The lifespan: open, wait for the end, drain, close."""
        await receive()
        self._services = await self._open_services()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._is_draining = True
        await self._drain()
        await self._services.close()
        self._services = None
        await send({"type": "lifespan.shutdown.complete"})

    async def _drain(self) -> None:
        """Let running requests end. What is cut after that is settled from its checkpoint."""
        try:
            async with asyncio.timeout(settings.DRAIN_S):
                while self._running:
                    self._idle.clear()
                    await self._idle.wait()
        except TimeoutError:
            logger.warning("closing while %s requests still run", self._running)


application: Final = Application()
