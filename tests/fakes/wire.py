"""A wire between the product and PostgreSQL that a test can cut, or make lose an answer."""

import asyncio
from typing import Self
from urllib.parse import urlsplit, urlunsplit

HOST = "127.0.0.1"
PIECE_BYTES = 65_536


class Wire:
    """Passes bytes both ways between a port of its own and the server that a URL names."""

    def __init__(self, url: str) -> None:
        self._to = urlsplit(url)
        self._lines: set[asyncio.StreamWriter] = set()
        self._loses = False
        self.lost = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, HOST, 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cut()

    @property
    def url(self) -> str:
        """The same database by this wire."""
        login = self._to.netloc.rpartition("@")[0]
        return urlunsplit(self._to._replace(netloc=f"{login}@{HOST}:{self.port}"))

    async def cut(self) -> None:
        """Nobody gets through: open connections break, new ones are refused."""
        self._server.close()
        for line in list(self._lines):
            line.transport.abort()
        await asyncio.sleep(0)

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._accept, HOST, self.port)

    def lose_next_answer(self) -> None:
        """What is asked next is done, and the connection breaks before anybody hears of it."""
        self._loses = True

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert self._to.hostname
        there, back = await asyncio.open_connection(self._to.hostname, self._to.port)
        self._lines |= {writer, back}
        try:
            await asyncio.gather(self._ask(reader, back), self._answer(there, writer, back))
        except ConnectionError:
            pass
        finally:
            self._lines -= {writer, back}
            writer.transport.abort()
            back.transport.abort()

    async def _ask(self, reader: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        while piece := await reader.read(PIECE_BYTES):
            back.write(piece)
            await back.drain()
        back.close()

    async def _answer(
        self, there: asyncio.StreamReader, writer: asyncio.StreamWriter, back: asyncio.StreamWriter
    ) -> None:
        while piece := await there.read(PIECE_BYTES):
            if self._loses and b"paywalls" not in piece:
                self._loses = False
                self.lost += 1
                raise ConnectionResetError
            writer.write(piece)
            await writer.drain()
        writer.close()
