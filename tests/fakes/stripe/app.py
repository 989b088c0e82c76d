"""The ASGI program: `uvicorn tests.fakes.stripe.app:app`.

FAKE_STRIPE_STATE names a file that keeps everything across restarts; without it memory does.
"""

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from tests.fakes.stripe import jobs, keys, onboarding, operations, pages, portal_page
from tests.fakes.stripe.api import Api
from tests.fakes.stripe.control import Control
from tests.fakes.stripe.delivery import Dispatcher
from tests.fakes.stripe.errors import ApiError, NotFoundError
from tests.fakes.stripe.http import Receive, Request, Response, Scope, Send, read, write
from tests.fakes.stripe.world import World

TICK_S: Final = 1.0
SAVE_S: Final = 0.1

PAGES: Final = {
    "/c/pay/": pages.checkout,
    "/c/authenticate/": pages.authenticate,
    "/p/session/": portal_page.portal,
    "/invoices/": portal_page.invoice_page,
    "/receipts/": portal_page.receipt,
    "/setup/": onboarding.onboard,
}


class FakeStripe:
    """One Stripe. `world` is all it knows."""

    def __init__(self, path: Path | None = None) -> None:
        assert operations.MODULES
        self.world = World(path)
        self.api = Api(self.world)
        self.dispatcher = Dispatcher(self.world)
        self.control = Control(self.world, self.api, self.dispatcher)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.live(receive, send)
            return
        try:
            response = await self.answer(await read(scope, receive))
        except ApiError as error:
            response = Response.of(error.body(), error.status)
        await write(send, response)
        self.dispatcher.start_due()

    async def answer(self, request: Request) -> Response:
        """Raises: ApiError"""
        self.world.base_url = request.base_url
        path = request.path
        if path.startswith("/v1/"):
            return await self.api.answer(request)
        if path.startswith("/_test/"):
            return Response.of(await self.control.answer(request.method, path, request.json()))
        for prefix, page in PAGES.items():
            if path.startswith(prefix) and request.method in ("GET", "POST"):
                self.world.is_changed |= request.method == "POST"
                return self._page(prefix, page, request)
        if path == "/healthz":
            return Response.of({"status": "ok"})
        raise NotFoundError("page", path)

    def _page(self, prefix: str, page: "pages.Page", request: Request) -> Response:
        try:
            return page(self.world, request, request.path.removeprefix(prefix))
        except ApiError as error:
            return pages.layout("Nothing here", f"<h1>{error.message}</h1>", status=error.status)

    async def live(self, receive: Receive, send: Send) -> None:
        """From the server's start to its end: load, run what runs by itself, save."""
        await receive()
        self.world.load()
        keys.seed(self.world)
        tasks = [
            asyncio.create_task(work)
            for work in (self.dispatcher.run(), self._tick(), self._save())
        ]
        await send({"type": "lifespan.startup.complete"})
        await receive()
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        self.world.save()
        await send({"type": "lifespan.shutdown.complete"})

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            jobs.run_due(self.world)
            self.world.prune()

    async def _save(self) -> None:
        while True:
            await asyncio.sleep(SAVE_S)
            if self.world.is_changed:
                self.world.save()


_state = os.environ.get("FAKE_STRIPE_STATE")
app = FakeStripe(Path(_state) if _state else None)
