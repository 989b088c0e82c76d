"""A model provider that answers, or fails, byte by byte as a test wants it.

    async with FakeUpstream() as upstream:
        upstream.url                      # base URL up to and with /v1
        upstream.requests[-1].json        # what arrived; also .path, .headers
        await upstream.wait_closed()      # a client went away before its answer was whole

What it does is chosen by the model name: `fake-cut` behaves as `cut`, any other name as
`upstream.behaviour` says. `BEHAVIOURS` lists them all; `usage`, `words` and `headers` can be set.
`gated` sends one word for each `upstream.release()`; `cut` and `eof` end after `cut_after` events;
`script` and `raw` send what `script` holds.
"""

import asyncio
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

import orjson

from tests.fakes.answer import Answer, Behaviour, ClientLeftError, Reader, Seen
from tests.fakes.behaviours import BEHAVIOURS
from tests.support.patience import PATIENCE_S

USAGE = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
PREFIX = "fake-"


@dataclass
class FakeUpstream:
    """The server. `connections` and `len(requests)` count; `closed` counts clients that left."""

    behaviour: str = "normal"
    usage: Any = field(default_factory=lambda: dict(USAGE))
    words: list[str] = field(default_factory=lambda: ["Hello", " there,", " this", " is", " fake."])
    headers: dict[str, str] = field(default_factory=dict)
    script: list[bytes] = field(default_factory=list)
    cut_after: int = 4
    host: str = "127.0.0.1"
    port: int = 0
    tls: ssl.SSLContext | None = None
    requests: list[Seen] = field(default_factory=list)
    connections: int = 0
    closed: int = 0

    async def __aenter__(self) -> Self:
        self._left = asyncio.Condition()
        self._gate = asyncio.Semaphore(0)
        self._tasks: set[asyncio.Task[None]] = set()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: asyncio.StreamReaderProtocol(Reader(), self._accept),
            self.host,
            self.port,
            ssl=self.tls,
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.drop_clients()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}/v1"

    def release(self, words: int = 1) -> None:
        """Let `gated` answers go on by so many words."""
        for _ in range(words):
            self._gate.release()

    def drop_clients(self) -> None:
        """Close every connection, as a restart does."""
        for task in self._tasks:
            task.cancel()

    async def wait_closed(self, count: int = 1, *, timeout_s: float = PATIENCE_S) -> None:
        """Wait until so many clients have closed before their answer was whole."""
        async with asyncio.timeout(timeout_s), self._left:
            await self._left.wait_for(lambda: self.closed >= count)

    async def wait_requests(self, count: int = 1, *, timeout_s: float = PATIENCE_S) -> None:
        """Wait until so many requests have arrived."""
        async with asyncio.timeout(timeout_s), self._left:
            await self._left.wait_for(lambda: len(self.requests) >= count)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        assert isinstance(reader, Reader)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        number = self.connections
        try:
            while (seen := await _request(reader, number)) is not None:
                async with self._left:
                    self.requests.append(seen)
                    self._left.notify_all()
                answer = Answer(self, seen, reader, writer)
                await answer.run(self._behaviour_for(seen))
                if answer.is_last:
                    break
        except (ConnectionError, ClientLeftError):
            async with self._left:
                self.closed += 1
                self._left.notify_all()
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    def _behaviour_for(self, seen: Seen) -> Behaviour:
        model = str(seen.json.get("model", "")).rpartition("/")[2]
        name = model.removeprefix(PREFIX)
        return BEHAVIOURS[name if model.startswith(PREFIX) else self.behaviour]


async def _request(reader: asyncio.StreamReader, connection: int) -> Seen | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    first, *lines = head.rstrip("\r\n").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Seen(first.split(" ")[1], headers, orjson.loads(body) if body else {}, connection)
