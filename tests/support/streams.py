"""A client that reads a stream over a real socket while the test does something else."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import orjson
from asgiref.sync import sync_to_async

from tests.support.chats import request
from tests.support.patience import PATIENCE_S
from tests.support.product import Shop


async def until(is_so: Callable[[], bool]) -> None:
    """Ask, in a thread, until it is so: other processes do not say when they are done."""
    async with asyncio.timeout(PATIENCE_S):
        while not await sync_to_async(is_so)():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


class Stream:
    """A chat's stream, read in the background.

    events: the data of each event so far. error: how the connection broke, if it did.
    """

    def __init__(self, http: httpx.AsyncClient, shop: Shop, user: str, model: str) -> None:
        self.events: list[str] = []
        self.error: httpx.TransportError | None = None
        self.status = 0
        self.headers: httpx.Headers = httpx.Headers()
        self._got = asyncio.Event()
        self._reading = asyncio.create_task(self._read(http, shop, user, model))

    async def _read(self, http: httpx.AsyncClient, shop: Shop, user: str, model: str) -> None:
        body = request(model, stream=True) | {"user": user}
        address = f"{shop.api}/chat/completions"
        try:
            async with http.stream("POST", address, json=body, headers=shop.headers) as answer:
                self.status, self.headers = answer.status_code, answer.headers
                async for line in answer.aiter_lines():
                    if line.startswith("data: "):
                        self.events.append(line.removeprefix("data: "))
                        self._got.set()
        except httpx.TransportError as error:
            self.error = error

    async def until(self, count: int) -> None:
        """Wait until so many events have come."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.events) < count:
                assert not self._reading.done(), (self.events, self.error)
                self._got.clear()
                await self._got.wait()

    async def end(self) -> None:
        """Wait until it is over, one way or the other."""
        async with asyncio.timeout(PATIENCE_S):
            await self._reading

    async def leave(self) -> None:
        """Hang up."""
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    @property
    def is_whole(self) -> bool:
        return self.error is None and self.events[-1:] == ["[DONE]"]

    @property
    def chunks(self) -> list[dict[str, Any]]:
        return [orjson.loads(event) for event in self.events if event != "[DONE]"]
