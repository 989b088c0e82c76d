"""A driver that is faster than what it measures: each client asks again when it has its answer."""

import asyncio
import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, cast
from urllib.parse import urlsplit

import uvloop

LENGTH: Final = re.compile(rb"content-length:\s*(\d+)", re.IGNORECASE)
WARM_UP_S: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class Result:
    """Answers a second, and the time of one in milliseconds."""

    per_second: float
    median_ms: float
    p99_ms: float
    failed: int


@dataclass
class Tally:
    """What one run counts, once it is warm."""

    begins: float
    ends: float
    times: list[float] = field(default_factory=list)
    failed: int = 0
    example: bytes = b""

    def add(self, began: float, now: float, answer: bytes) -> None:
        if not answer.startswith(b"HTTP/1.1 200"):
            self.failed, self.example = self.failed + 1, answer
        elif self.begins <= began:
            self.times.append(now - began)

    def result(self) -> Result:
        times = sorted(self.times) or [0.0]
        return Result(
            per_second=len(self.times) / (self.ends - self.begins),
            median_ms=1000 * times[len(times) // 2],
            p99_ms=1000 * times[len(times) * 99 // 100],
            failed=self.failed,
        )


class Client(asyncio.Protocol):
    """One connection that is kept."""

    def __init__(self, requests: Sequence[bytes], tally: Tally) -> None:
        self.requests, self.tally, self.sent = requests, tally, 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is not a subclass.
        self.ask()

    def ask(self) -> None:
        self.received, self.began = b"", time.perf_counter()
        self.transport.write(self.requests[self.sent % len(self.requests)])
        self.sent += 1

    def data_received(self, data: bytes) -> None:
        self.received += data
        if not is_whole(self.received):
            return
        now = time.perf_counter()
        self.tally.add(self.began, now, self.received)
        if now < self.tally.ends:
            self.ask()
        else:
            self.transport.close()

    def connection_lost(self, _exc: Exception | None) -> None:
        if time.perf_counter() < self.tally.ends:
            self.tally.failed += 1
        self.done.set_result(None)


def is_whole(answer: bytes) -> bool:
    """The answer has all its bytes: by its length, or by its last chunk."""
    if answer.endswith(b"\r\n0\r\n\r\n"):
        return True
    end = answer.find(b"\r\n\r\n") + 4
    length = LENGTH.search(answer, 0, end) if end > 3 else None
    return length is not None and len(answer) >= end + int(length[1])


def chat_request(url: str, key: str, *, model: str, user: str, stream: bool) -> bytes:
    place = urlsplit(url)
    body = json.dumps(
        {
            "model": model,
            "messages": [{"role": "user", "content": "Say something."}],
            "max_tokens": 100,
            "stream": stream,
        }
    )
    head = [
        f"POST {place.path}/chat/completions HTTP/1.1",
        f"Host: {place.netloc}",
        f"Authorization: Bearer {key}",
        f"X-Paywall-User: {user}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    return ("\r\n".join(head) + "\r\n\r\n" + body).encode()


async def drive(url: str, requests: Sequence[bytes], *, clients: int, seconds: float) -> Tally:
    """Ask for that long with that many clients."""
    place, loop = urlsplit(url), asyncio.get_running_loop()
    assert place.hostname, url
    assert place.port, url
    begins = time.perf_counter() + WARM_UP_S
    tally = Tally(begins, begins + seconds)
    connected = []
    for number in range(clients):
        client = Client([*requests[number:], *requests[:number]], tally)
        await loop.create_connection(partial(_same, client), place.hostname, place.port)
        connected.append(client)
    await asyncio.gather(*(client.done for client in connected))
    return tally


def _same(client: Client) -> Client:
    return client


def measure(url: str, requests: Sequence[bytes], *, clients: int, seconds: float) -> Tally:
    return uvloop.run(drive(url, requests, clients=clients, seconds=seconds))
