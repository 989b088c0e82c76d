"""A wire in front of PostgreSQL, Valkey or a provider, on which a test can make things go wrong.

async with Wire(settings.DATABASE_URL) as wire:
    wire.url                              # the same server by this wire
    await wire.cut(); await wire.mend()   # connections break, new ones are refused
    wire.freeze(); wire.thaw()            # bytes are taken and go nowhere: half open
    wire.delay_s = 30                     # latency, each way
    wire.bytes_per_s = 10_000             # bandwidth
    wire.lose_next_answer()               # asked and done, and nobody hears of it
    stop = wire.stop_at(b"billing_settle")         # the statement never gets there
    stop = wire.stop_at(b"billing_settle", answered=True)  # it does; its answer never comes
    await stop.reached.wait()
"""

import asyncio
import re
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit, urlunsplit

from tests.support.patience import PATIENCE_S

HOST = "127.0.0.1"
PIECE_BYTES = 65_536
PARSE = re.compile(rb"P[\0-\xff]{4}([^\0]*)\0([^\0]+)\0")
BIND = re.compile(rb"B[\0-\xff]{4}[^\0]*\0([^\0]*)\0")
QUERY = re.compile(rb"Q[\0-\xff]{4}([^\0]+)\0")
"""PostgreSQL's messages: prepare a statement, run a prepared one, run this one."""


@dataclass
class Stop:
    """Where a line stops dead. answered: after the statement was done, before its answer."""

    words: bytes
    answered: bool
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait(self) -> None:
        """Returns when a line is there."""
        async with asyncio.timeout(PATIENCE_S):
            await self.reached.wait()


@dataclass(eq=False)
class Line:
    """One connection: its two ends, and what its prepared statements say."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    statements: dict[bytes, bytes] = field(default_factory=dict)
    stop: Stop | None = None

    def asked(self, piece: bytes) -> bytes:
        """The statements that a piece on its way to PostgreSQL runs."""
        self.statements.update(PARSE.findall(piece))
        known = [self.statements.get(name, b"") for name in BIND.findall(piece)]
        return b"\n".join([*QUERY.findall(piece), *known])

    def abort(self) -> None:
        self.client.transport.abort()
        self.server.transport.abort()


class Wire:
    """Passes bytes both ways between a port of its own and the server that a URL names."""

    def __init__(self, url: str) -> None:
        self._to = urlsplit(url)
        self._lines: set[Line] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stops: list[Stop] = []
        self._loses = False
        self._flows = asyncio.Event()
        self._flows.set()
        self.lost = 0
        self.delay_s = 0.0
        self.bytes_per_s = float("inf")

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, HOST, 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        """The same server by this wire."""
        login, at, _ = self._to.netloc.rpartition("@")
        return urlunsplit(self._to._replace(netloc=f"{login}{at}{HOST}:{self.port}"))

    async def cut(self) -> None:
        """Nobody gets through: open connections break, new ones are refused."""
        self._server.close()
        for line in list(self._lines):
            line.abort()
        await asyncio.sleep(0)

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._accept, HOST, self.port)

    def freeze(self) -> None:
        """Connections stay and are still accepted; nothing comes through."""
        self._flows.clear()

    def thaw(self) -> None:
        self._flows.set()

    def lose_next_answer(self) -> None:
        """What is asked next is done, and the connection breaks before anybody hears of it."""
        self._loses = True

    def stop_at(self, words: bytes, *, answered: bool = False) -> Stop:
        """The next line that asks PostgreSQL for this goes silent for good, at that very point."""
        self._stops.append(Stop(words, answered))
        return self._stops[-1]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        assert self._to.hostname
        there, back = await asyncio.open_connection(self._to.hostname, self._to.port)
        line = Line(writer, back)
        self._lines.add(line)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._ask(reader, line))
                both.create_task(self._answer(there, line))
        except* ConnectionError:
            pass
        finally:
            self._lines.discard(line)
            line.abort()

    async def _ask(self, reader: asyncio.StreamReader, line: Line) -> None:
        while piece := await reader.read(PIECE_BYTES):
            stop = self._stop_for(line.asked(piece))
            if stop is not None:
                line.stop = stop
                if not stop.answered:
                    stop.reached.set()
                    await reader.read()  # Until the client goes away, and it with it.
                    return line.abort()
            await self._pass(piece, line.server)
        return line.server.close()

    def _stop_for(self, asked: bytes) -> Stop | None:
        found = next((stop for stop in self._stops if stop.words in asked), None)
        if found is not None:
            self._stops.remove(found)
        return found

    async def _answer(self, there: asyncio.StreamReader, line: Line) -> None:
        while piece := await there.read(PIECE_BYTES):
            if line.stop is not None:
                line.stop.reached.set()
                continue
            if self._loses and b"paywalls" not in piece:
                self._loses = False
                self.lost += 1
                raise ConnectionResetError
            await self._pass(piece, line.client)
        line.client.close()

    async def _pass(self, piece: bytes, to: asyncio.StreamWriter) -> None:
        """Onwards, as the wire is just now."""
        await self._flows.wait()
        seconds = self.delay_s + len(piece) / self.bytes_per_s
        if seconds:
            await asyncio.sleep(seconds)
            await self._flows.wait()
        to.write(piece)
        await to.drain()
