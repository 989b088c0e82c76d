"""Taking events to their subscriptions: claim, sign, post, record.

Claims are leases: what a deliverer that died had claimed is due again, with the same webhook-id.
Each subscription has a few posts under way at most, and one while it fails, so that a receiver that
hangs delays nobody else.
"""

import asyncio
import base64
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import orjson
import psycopg
import structlog
from django.conf import settings
from django.db import connection, connections

from billing.webhooks import envelope, events, posthog, signing, subscriptions
from billing.webhooks.network import TIMEOUT_S, Poster
from billing.webhooks.schedule import ATTEMPTS_MAX, GONE, Outcome, judge
from config.kit import clock, crypto
from config.kit.limits import WEBHOOK_BODY_BYTES_MAX

log = structlog.get_logger(__name__)

AT_ONCE_MAX: Final = 256
EACH_MAX: Final = 4
"""Posts under way to one subscription."""
LEASE_S: Final = 60
"""Longer than an attempt can take."""
POLL_S: Final = 0.2
RUN_S: Final = 45.0
"""A deliverer claims for so long, then lets the next one begin and waits for what is under way."""
PATIENCE_DAYS: Final = 5
FAILURES_LEAST: Final = 10
"""Failed attempts in a row before a subscription can be hopeless."""
LOCK: Final = 0x7077_6576
"""One deliverer at a time: the number of its advisory lock."""

assert LEASE_S > TIMEOUT_S, "an attempt may not outlive its claim"


@dataclass(frozen=True, slots=True)
class Message:
    """What is posted in one attempt."""

    url: str
    body: bytes
    headers: Mapping[str, str]


class Deliverer:
    """One run. poster: an open one; counts: deliveries of this run by what became of them."""

    def __init__(self, poster: Poster, *, run_s: float = RUN_S) -> None:
        self.counts: Counter[str] = Counter()
        self._poster = poster
        self._run_s = run_s
        self._under_way: dict[UUID, int] = {}
        self._failing: set[UUID] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None  # A bug, or the database's end.

    async def run(self, dsn: str) -> None:
        """Deliver what is due until nothing is, or the time is over; one run at a time.

        dsn: of a session of its own, for the lock lives in it.
        """
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as line:
            cursor = await line.execute("SELECT pg_try_advisory_lock(%s)", [LOCK])
            if (await cursor.fetchone()) != (True,):
                return
            ends = time.monotonic() + self._run_s
            try:
                while time.monotonic() < ends:
                    was_idle = not self._tasks
                    claimed = await self._claim(line)
                    if not claimed and was_idle:
                        break
                    if not claimed and self._tasks:
                        await asyncio.wait(
                            self._tasks, timeout=POLL_S, return_when=asyncio.FIRST_COMPLETED
                        )
                    if self._failure is not None:
                        break
            finally:
                # The next run may begin while this one waits for its last answers.
                await line.execute("SELECT pg_advisory_unlock(%s)", [LOCK])
                await asyncio.gather(*self._tasks, return_exceptions=True)
            if self._failure is not None:
                raise self._failure

    async def _claim(self, line: psycopg.AsyncConnection) -> int:
        """Begin what can begin; how many deliveries that is."""
        room = AT_ONCE_MAX - len(self._tasks)
        if room <= 0:
            return 0
        busy = [
            each
            for each, count in self._under_way.items()
            if count >= (1 if each in self._failing else EACH_MAX)
        ]
        cursor = await line.execute(
            "SELECT * FROM billing_deliveries_claim(%s, %s, %s, %s::uuid[])",
            [room, EACH_MAX, LEASE_S, busy],
        )
        rows = [row[0] for row in await cursor.fetchall()]
        for row in rows:
            self._begin(line, row)
        return len(rows)

    def _begin(self, line: psycopg.AsyncConnection, row: Mapping[str, Any]) -> None:
        subscription_id = UUID(row["subscription_id"])
        self._under_way[subscription_id] = self._under_way.get(subscription_id, 0) + 1
        if row["failures"]:
            self._failing.add(subscription_id)
        task = asyncio.create_task(self._deliver(line, row))
        self._tasks.add(task)

        def ended(done: asyncio.Task[None]) -> None:
            self._tasks.discard(done)
            if not done.cancelled():
                self._failure = self._failure or done.exception()
            self._under_way[subscription_id] -= 1
            if not self._under_way[subscription_id]:
                del self._under_way[subscription_id]

        task.add_done_callback(ended)

    async def _deliver(self, line: psycopg.AsyncConnection, row: Mapping[str, Any]) -> None:
        outcome = await self._attempt(row)
        subscription_id = UUID(row["subscription_id"])
        if outcome.is_success:
            self._failing.discard(subscription_id)
        else:
            self._failing.add(subscription_id)
        verdict = judge(outcome, attempts=row["attempts"])
        said = {
            "id": row["id"],
            "attempts": row["attempts"],
            "status": verdict.status,
            "retry_s": verdict.retry_s,
            "code": outcome.code,
            "latency_ms": outcome.latency_ms,
            "error": outcome.error[:200],
            "response": outcome.response,
            "patience_days": PATIENCE_DAYS,
            "failures_least": FAILURES_LEAST,
        }
        cursor = await line.execute(
            "SELECT billing_delivery_record(%s::jsonb)", [orjson.dumps(said).decode()]
        )
        (is_hopeless,) = await cursor.fetchone() or (False,)
        self.counts[verdict.status if verdict.status != "pending" else "retry"] += 1
        if is_hopeless or outcome.code == GONE:
            reason = "gone" if outcome.code == GONE else "failing"
            await asyncio.to_thread(_disable, subscription_id, reason)

    async def _attempt(self, row: Mapping[str, Any]) -> Outcome:
        if row["attempts"] > ATTEMPTS_MAX:
            return Outcome(code=None, error="The sender was lost at each attempt.", is_final=True)
        try:
            message = compose(row)
        except crypto.SealError:
            return Outcome(code=None, error="Its secret does not open: rotate it.", is_final=True)
        if len(message.body) > WEBHOOK_BODY_BYTES_MAX:
            return Outcome(code=None, error="The event is too large to send.", is_final=True)
        return await self._poster.post(message.url, message.body, message.headers)


def _disable(subscription_id: UUID, reason: str) -> None:
    """In a thread, on a connection of its own."""
    try:
        subscriptions.disable(subscription_id, reason=reason)
    finally:
        connections.close_all()


def note(counts: Mapping[str, int]) -> None:
    """Add a run's counts to those of all runs."""
    with connection.cursor() as cursor:
        cursor.executemany(
            """
            INSERT INTO billing_delivery_total AS t (outcome, total) VALUES (%s, %s)
            ON CONFLICT (outcome) DO UPDATE SET total = t.total + excluded.total
            """,
            sorted(counts.items()),
        )


async def run(dsn: str, *, run_s: float = RUN_S) -> Counter[str]:
    """One run with a client of its own; how many deliveries became what."""
    async with Poster() as poster:
        deliverer = Deliverer(poster, run_s=run_s)
        await deliverer.run(dsn)
        return deliverer.counts


def compose(row: Mapping[str, Any]) -> Message:
    """The message of one attempt: a webhook, signed, or PostHog's.

    Raises: SealError.
    """
    context = f"subscription:{UUID(row['paywall_id'])}:{UUID(row['subscription_id'])}"
    keys = [
        crypto.unseal(base64.b64decode(sealed), context=context, keys=settings.ENCRYPTION_KEYS)
        for sealed in (row["secret"], row["previous"])
        if sealed
    ]
    texts = [key.decode() for key in keys]
    if row["kind"] == "posthog":
        return Message(row["url"], orjson.dumps(posthog.capture(row, key=texts[0])), {})
    body = orjson.dumps(envelope.body_of(row))
    stamp = int(clock.now().timestamp())
    id_text = envelope.public("evt", row["event_id"])
    signed = signing.headers(body, id_text=id_text, stamp=stamp, keys=texts)
    typed = {"X-Paywalls-Event": f"{row['type']}@{events.VERSION}"}
    return Message(row["url"], body, {**row["headers"], **typed, **signed})
