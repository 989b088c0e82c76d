"""The product under a mix of everything for minutes: nothing grows, nothing slows, nothing is lost.

SOAK_MINUTES says for how long (2). A day of it is the same test.
"""

import asyncio
import os
import random
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.conf import settings

from config.kit import ids
from tests.fakes.upstream import FakeUpstream
from tests.support.asks import chat
from tests.support.figures import Tell
from tests.support.memory import resident_bytes
from tests.support.product import MODEL, UNIT, Shop, make_shop
from tests.support.product_fixtures import Start
from tests.support.streams import until

MINUTES: Final = float(os.environ.get("SOAK_MINUTES", "2"))
RATE: Final = 50
"""Calls that begin in a second."""

IN_FLIGHT_MOST: Final = 200
USERS: Final = 40
SAMPLE_S: Final = 1.0
WARM: Final = 0.25
"""The part of the time that counts for nothing: memory and connections are still being taken."""

GROWTH_MOST: Final = {"bytes": 8 * 1024 * 1024, "threads": 2, "connections": 2}
"""What may be a coincidence: from the first third of the warm time to the last."""

FILES_MOST: Final = 64
"""Once nobody calls any more: a call under way has two, and there are as many calls as the machine
is slow. One that is forgotten in a hundred calls is too many in two minutes."""

P99_RATIO_MOST: Final = 2.0
P99_NOISE_S: Final = 0.25
"""Below it a p99 is as good as any: the machine has other work too."""

WEIGHTS: Final[Mapping[str, int]] = {
    "stream": 50,
    "json": 15,
    "charge": 8,
    "leave": 7,
    "broke": 6,
    "chat_again": 4,
    "charge_again": 3,
    "refused_upstream": 3,
    "cut_upstream": 2,
    "garbage_upstream": 2,
}


@dataclass
class Sample:
    at: float
    bytes: int
    files: int
    threads: int
    connections: int


@dataclass
class Load:
    """One app with many users. latencies: of whole streams, with the moment they began."""

    http: httpx.AsyncClient
    shop: Shop
    users: list[str]
    broke: str
    ends: Counter[str] = field(default_factory=Counter)
    latencies: list[tuple[float, float]] = field(default_factory=list)

    async def one(self, kind: str) -> None:
        calls: dict[str, Callable[[], Awaitable[None]]] = {
            "stream": self.stream,
            "json": self.json,
            "charge": self.charge,
            "leave": self.leave,
            "broke": self.refusal,
            "chat_again": self.chat_again,
            "charge_again": self.charge_again,
            "refused_upstream": self.refused_upstream,
            "cut_upstream": self.cut_upstream,
            "garbage_upstream": self.garbage_upstream,
        }
        await calls[kind]()
        self.ends[kind] += 1

    def user(self) -> str:
        return random.choice(self.users)

    async def stream(self) -> None:
        began = time.monotonic()
        answer = await chat(self.http, self.shop, self.user(), stream=True)
        assert answer.text.endswith("data: [DONE]\n\n"), answer.text
        self.latencies.append((began, time.monotonic() - began))

    async def json(self) -> None:
        answer = await chat(self.http, self.shop, self.user())
        assert answer.status_code == 200, answer.text

    async def charge(self) -> None:
        assert (await self._charge({})).status_code in (200, 201)

    async def leave(self) -> None:
        """Reads the first event and hangs up."""
        body = {"model": MODEL, "messages": [{"role": "user", "content": "x"}], "stream": True}
        async with self.http.stream(
            "POST",
            f"{self.shop.api}/chat/completions",
            json=body | {"user": self.user()},
            headers=self.shop.headers,
        ) as answer:
            async for _ in answer.aiter_lines():
                break

    async def refusal(self) -> None:
        """A user without money is told so, at once, and no provider is asked."""
        answer = await chat(self.http, self.shop, self.broke)
        assert answer.headers["x-paywall-decision"] == "topup_required", answer.headers

    async def chat_again(self) -> None:
        user, headers = self.user(), {"Idempotency-Key": ids.uuid7().hex}
        first, second = await asyncio.gather(
            *(chat(self.http, self.shop, user, headers=headers) for _ in range(2))
        )
        assert sorted([first.status_code, second.status_code]) == [200, 409]

    async def charge_again(self) -> None:
        user, headers = self.user(), {"Idempotency-Key": ids.uuid7().hex}
        both = [await self._charge(headers, user) for _ in range(2)]
        assert len({answer.json()["transactionId"] for answer in both}) == 1

    async def refused_upstream(self) -> None:
        behaviour = random.choice(["429", "500", "503"])
        answer = await chat(self.http, self.shop, self.user(), f"fake/fake-{behaviour}")
        assert answer.status_code >= 400, answer.text

    async def cut_upstream(self) -> None:
        answer = await chat(self.http, self.shop, self.user(), "fake/fake-cut", stream=True)
        assert "[DONE]" not in answer.text

    async def garbage_upstream(self) -> None:
        await chat(self.http, self.shop, self.user(), "fake/fake-garbage", stream=True)

    async def _charge(self, headers: dict[str, str], user: str | None = None) -> httpx.Response:
        body = {"user": user or self.user(), "amount": "0.000000007"}
        return await self.http.post(
            f"{self.shop.api}/user/charge", json=body, headers=self.shop.headers | headers
        )


async def go_on(load: Load, ends: float) -> None:
    """Begin calls at an even pace until then, whatever the earlier ones do; then wait for all."""
    kinds = random.choices(list(WEIGHTS), list(WEIGHTS.values()), k=int(RATE * 60 * MINUTES) + 1)
    began = time.monotonic()
    places = asyncio.Semaphore(IN_FLIGHT_MOST)
    async with asyncio.TaskGroup() as calls:
        for number, kind in enumerate(kinds):
            wait_s = began + number / RATE - time.monotonic()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            if time.monotonic() > ends:
                break
            await places.acquire()
            calls.create_task(load.one(kind)).add_done_callback(lambda _: places.release())


async def watch(pid: int, samples: list[Sample], is_over: asyncio.Event) -> None:
    while not is_over.is_set():
        samples.append(await asyncio.to_thread(look, pid))
        with suppress(TimeoutError):
            async with asyncio.timeout(SAMPLE_S):
                await is_over.wait()


def look(pid: int) -> Sample:
    process = Path(f"/proc/{pid}")
    return Sample(
        at=time.monotonic(),
        bytes=resident_bytes(pid),
        files=len(list((process / "fd").iterdir())),
        threads=len(list((process / "task").iterdir())),
        connections=_number(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        ),
    )


@pytest.mark.long
@pytest.mark.proves("F82")
@pytest.mark.timeout(MINUTES * 60 + 180)
async def test_nothing_grows_and_nothing_is_lost(
    start: Start, fake: FakeUpstream, http: httpx.AsyncClient, aftermath: None, figures: Tell
) -> None:
    server = await asyncio.to_thread(start)
    shop = await sync_to_async(make_shop)(server, fake.url)
    users = [await sync_to_async(shop.funded)(UNIT) for _ in range(USERS)]
    load = Load(http, shop, users, f"broke_{ids.uuid7().hex}")
    pid = server.child.process.pid
    began = time.monotonic()
    samples = await watched(load, began + 60 * MINUTES)
    seconds = time.monotonic() - began
    warm = began + WARM * seconds
    early, late = (_p99(part) for part in _halves(load.latencies, warm))
    growth = {name: _growth(samples, name, warm) for name in GROWTH_MOST}

    figures(f"{sum(load.ends.values()):,} calls in {seconds:.0f} s: {dict(load.ends)}")
    for name, grown in growth.items():
        figures(f"{name}: {getattr(samples[-1], name):,} at the end, growth {grown:+,.0f}")
    tenths = [samples[n * (len(samples) - 1) // 10].bytes / 1024**2 for n in range(11)]
    figures(f"MB by tenths of the time: {' '.join(f'{tenth:.1f}' for tenth in tenths)}")
    figures(f"p99 of a stream: {early * 1000:.0f} ms, later {late * 1000:.0f} ms")

    assert {name for name, most in GROWTH_MOST.items() if growth[name] > most} == set()
    assert late <= max(P99_RATIO_MOST * early, P99_NOISE_S)
    await _quiet(http, shop)
    await http.aclose()
    await until(lambda: look(pid).files <= FILES_MOST)
    assert shop.holds() == 0
    assert USERS * UNIT - _balances(shop) == _charges(shop)
    assert set(load.ends) == set(WEIGHTS), "each kind of call was made"


async def watched(load: Load, ends: float) -> list[Sample]:
    """The load until then, and a look at the process every second of it."""
    samples: list[Sample] = []
    is_over = asyncio.Event()
    watching = asyncio.create_task(watch(load.shop.server.child.process.pid, samples, is_over))
    try:
        await go_on(load, ends)
    finally:
        is_over.set()
        await watching
    return samples


async def _quiet(http: httpx.AsyncClient, shop: Shop) -> None:
    """The process says itself that nothing is under way any more."""
    async with asyncio.timeout(20):
        while True:
            text = (await http.get(f"{shop.server.url}/metrics")).text
            if {"paywalls_holds_open 0.0", "paywalls_requests_in_flight 0.0"} <= set(
                text.splitlines()
            ):
                return
            await asyncio.sleep(0.1)


def _growth(samples: list[Sample], name: str, since: float) -> float:
    """The median of the last third less that of the first."""
    values = [getattr(sample, name) for sample in samples if sample.at > since]
    third = max(len(values) // 3, 1)
    return float(statistics.median(values[-third:]) - statistics.median(values[:third]))


def _halves(latencies: list[tuple[float, float]], since: float) -> tuple[list[float], list[float]]:
    warm = [seconds for began, seconds in sorted(latencies) if began > since]
    return warm[: len(warm) // 2], warm[len(warm) // 2 :]


def _p99(seconds: list[float]) -> float:
    return float(statistics.quantiles(seconds, n=100)[-1])


def _balances(shop: Shop) -> int:
    return _number(
        "SELECT coalesce(sum(a.posted), 0)::bigint FROM ledger_account a"
        " JOIN paywalls_enduser u ON u.wallet_id = a.id WHERE u.paywall_id = %s",
        shop.paywall.pk,
    )


def _charges(shop: Shop) -> int:
    """As the receipts say, which the ledger does not read."""
    return _number(
        "SELECT coalesce(sum(charged), 0)::bigint FROM billing_charge WHERE paywall_id = %s",
        shop.paywall.pk,
    )


def _number(query: str, *arguments: object) -> int:
    with psycopg.connect(settings.DATABASE_URL) as connection:
        row: tuple[Any, ...] | None = connection.execute(query.encode(), arguments).fetchone()
    assert row is not None
    return int(row[0])
