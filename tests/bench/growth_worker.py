"""One database of `./run bench --growth`, measured through the product's own functions.

Reads one JSON object a line, {"case": …, "samples": n}, and answers with a list of milliseconds.
The last case, `plans`, answers with the plans of what pages read.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final
from uuid import UUID

import django

django.setup()

from asgiref.sync import sync_to_async  # noqa: E402
from django.conf import settings  # noqa: E402
from django.db import connection  # noqa: E402
from django.db.backends.utils import CursorWrapper  # noqa: E402

from billing import fill  # noqa: E402
from billing.analytics import analytics  # noqa: E402
from billing.database import Database  # noqa: E402
from billing.gate import Gate, GateSettings  # noqa: E402
from billing.history import history  # noqa: E402
from billing.reads import Reads  # noqa: E402
from billing.request_log import Filter, requests  # noqa: E402
from billing.types import Ask, Bill, Payer  # noqa: E402
from config.kit import ids  # noqa: E402
from paywalls.decisions import Allowed  # noqa: E402
from paywalls.models import EndUser  # noqa: E402

CALLERS: Final = 64
CHARGE_NANOS: Final = 1_000_000
MODEL: Final = next(iter(fill.MODELS))
BUSIEST: Final = 2
"""Users whose pages are read: those with the longest histories."""

type User = tuple[str, UUID, UUID]
"""External id, wallet, our own id."""


class Worker:
    """What is measured, by name."""

    def __init__(self) -> None:
        self.paywall = fill.invented_paywall()
        users = EndUser.objects.filter(paywall=self.paywall).order_by("external_id")
        self.users = [
            (user.external_id, user.wallet_id, user.id) for user in users if user.wallet_id
        ]
        self.random = random.Random(1)
        self.crew = self.random.sample(self.users, CALLERS)
        database = Database(settings.DATABASE_URL, size=4)
        self.gate = Gate(database, GateSettings(lease_s=30, heartbeat_s=2, total_s=960))
        self.reads = Reads(database, encryption_keys=())
        self.cases: dict[str, Callable[[], Awaitable[float]]] = {
            "one": self.one,
            "many": lambda: self.many(self.crew),
            "many_any": lambda: self.many(self.random.sample(self.users, CALLERS)),
            "balance": self.timed(lambda: self.reads.balance(self.payer())),
            "history": self.timed_page(lambda: history(self.busy()[1])),
            "history_api": self.timed(lambda: self.reads.history(self.payer(self.busy()))),
            "requests": self.timed_page(self.requests),
            "model": self.timed_page(lambda: self.requests(Filter(model=MODEL))),
            "user": self.timed_page(lambda: self.requests(Filter(user_id=self.busy()[2]))),
            "analytics": self.timed_page(
                lambda: analytics(self.paywall.pk, livemode=True, days=30)
            ),
        }

    def requests(self, only: Filter | None = None) -> object:
        return requests(self.paywall.pk, livemode=True, only=only or Filter())

    def busy(self) -> User:
        return self.random.choice(self.users[:BUSIEST])

    def payer(self, user: User | None = None) -> Payer:
        return Payer(
            paywall_id=self.paywall.pk,
            key_id=None,
            livemode=True,
            currency=self.paywall.currency,
            timezone=self.paywall.timezone,
            user=(user or self.random.choice(self.users))[0],
        )

    def timed(self, call: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[float]]:
        async def sample() -> float:
            began = time.perf_counter()
            await call()
            return (time.perf_counter() - began) * 1_000

        return sample

    def timed_page(self, call: Callable[[], object]) -> Callable[[], Awaitable[float]]:
        """Timed in the thread that has Django's connection."""

        def sample() -> float:
            began = time.perf_counter()
            call()
            return (time.perf_counter() - began) * 1_000

        return sync_to_async(sample)

    async def one(self) -> float:
        """Reserve and settle, one caller, any user."""
        began = time.perf_counter()
        await self.paid_request(self.payer())
        return (time.perf_counter() - began) * 1_000

    async def many(self, users: Sequence[User]) -> float:
        """The same by 64 callers with a user each, for one request."""
        payers = [self.payer(user) for user in users]
        began = time.perf_counter()
        await asyncio.gather(*(self.paid_request(payer) for payer in payers))
        return (time.perf_counter() - began) * 1_000 / CALLERS

    async def paid_request(self, payer: Payer) -> None:
        ask = Ask(
            request_id=ids.uuid7(),
            payer=payer,
            want_nanos=fill.HOLD_NANOS,
            least_nanos=fill.HOLD_NANOS,
            facts={"model": MODEL, "streamed": True},
        )
        assert isinstance(await self.gate.reserve(ask), Allowed)
        settled = await self.gate.settle(
            Bill(
                request_id=ask.request_id,
                payer=payer,
                charge_nanos=CHARGE_NANOS,
                provider_cost_nanos=CHARGE_NANOS // 2,
                status="completed",
                policy="completed:usage",
                usage={"prompt": 500, "completion": 500},
                usage_source="provider",
                model=MODEL,
                connection_id=None,
                rate_id=None,
            )
        )
        assert settled.charged_nanos == CHARGE_NANOS

    def plans(self) -> dict[str, list[str]]:
        """EXPLAIN of every statement behind each page, on this database."""
        pages: dict[str, Callable[[], object]] = {
            "ledger page": lambda: history(self.users[0][1]),
            "request list": self.requests,
            "request list, failed": lambda: self.requests(Filter(status="failed")),
            "analytics, 30 days": lambda: analytics(self.paywall.pk, livemode=True, days=30),
        }
        found: dict[str, list[str]] = {}
        for name, read in pages.items():
            with explained() as texts:
                read()
            found[name] = texts
        return found


@contextmanager
def explained() -> Iterator[list[str]]:
    """The plans of what Django's connection is asked meanwhile."""
    texts: list[str] = []

    def explain(execute: Any, query: Any, arguments: Any, many: bool, context: Any) -> Any:
        cursor: CursorWrapper = context["cursor"]
        text = query.as_string(connection.connection) if hasattr(query, "as_string") else query
        options = "EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF, SUMMARY ON) "
        execute(options + text, arguments, many, context)
        texts.append("\n".join(row[0] for row in cursor.cursor.fetchall()))
        return execute(query, arguments, many, context)

    with connection.execute_wrapper(explain):
        yield texts


async def main() -> None:
    worker = await sync_to_async(Worker)()
    await worker.gate.open()
    await asyncio.gather(*(worker.cases[name]() for name in ("one", "balance")))
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        asked = json.loads(line)
        if asked["case"] == "plans":
            answer: object = await sync_to_async(worker.plans)()
        else:
            answer = [await worker.cases[asked["case"]]() for _ in range(asked["samples"])]
        print(json.dumps(answer), flush=True)
    await worker.gate.close()


if __name__ == "__main__":
    asyncio.run(main())
