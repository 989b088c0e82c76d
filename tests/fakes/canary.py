"""A listener that nobody may ever connect to."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Self


class Canary:
    """`packets` counts the connections that were made to it."""

    def __init__(self, hosts: Sequence[str] = ("127.0.0.1", "::1"), port: int = 0) -> None:
        self.port = port
        self.packets = 0
        self._hosts = hosts

    async def __aenter__(self) -> Self:
        self._stack = AsyncExitStack()
        for host in self._hosts:
            server = await asyncio.start_server(self._note, host, self.port)
            self.port = server.sockets[0].getsockname()[1]
            self._stack.push_async_callback(server.wait_closed)
            self._stack.callback(server.close)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def _note(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.packets += 1
        writer.close()
