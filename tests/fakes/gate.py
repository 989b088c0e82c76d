"""The gate without a database: one wallet, and every ask and bill kept for the test to look at."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from billing.errors import GateUnavailableError
from billing.types import Ask, Bill, Progress, Settled
from paywalls.decisions import Allowed, Decision, NeedsTopUp


@dataclass
class FakeGate:
    """balance: nanos of the only wallet. decision: given instead of its own. away: settling fails.

    on_settle runs before a bill is booked, once `may_settle`.
    """

    balance: int = 10_000_000_000
    decision: Decision | None = None
    trial: bool = False
    away: bool = False
    user_id: UUID = field(default_factory=uuid4)
    asks: list[Ask] = field(default_factory=list)
    bills: list[Bill] = field(default_factory=list)
    holds: dict[UUID, int] = field(default_factory=dict)
    progress: dict[UUID, Callable[[], Progress]] = field(default_factory=dict)
    on_settle: Callable[[], None] = lambda: None
    may_settle: asyncio.Event = field(default_factory=asyncio.Event)
    is_settling: asyncio.Event = field(default_factory=asyncio.Event)
    booked: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.may_settle.set()

    @property
    def bill(self) -> Bill:
        """The only bill there is."""
        assert len(self.bills) == 1, self.bills
        return self.bills[0]

    async def reserve(self, ask: Ask) -> Decision:
        await asyncio.sleep(0)
        self.asks.append(ask)
        if self.decision is not None:
            return self.decision
        available = self.balance - sum(self.holds.values())
        if available < ask.least_nanos:
            return NeedsTopUp(user_id=self.user_id, balance_nanos=available)
        granted = self.holds[ask.request_id] = min(ask.want_nanos, available)
        return Allowed(
            user_id=self.user_id,
            granted_nanos=granted,
            balance_nanos=available - granted,
            trial=self.trial,
        )

    def track(self, request_id: UUID, progress: Callable[[], Progress]) -> None:
        self.progress[request_id] = progress

    async def settle(self, bill: Bill) -> Settled:
        self.is_settling.set()
        await self.may_settle.wait()
        if self.away:
            raise GateUnavailableError("The database is away.")
        self.on_settle()
        hold = self.holds.pop(bill.request_id)
        assert bill.charge_nanos >= 0, bill
        charged = min(bill.charge_nanos, hold)
        self.bills.append(bill)
        self.booked.set()
        self.balance -= charged
        return Settled(charged_nanos=charged, balance_nanos=self.balance)

    def spawn[T](self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def drained(self) -> None:
        """Returns when nothing that was spawned still runs."""
        while self.tasks:
            await asyncio.wait(self.tasks)


@dataclass
class FakeReads:
    """Kept answers, in memory."""

    answers: dict[UUID, tuple[bytes, str]] = field(default_factory=dict)

    async def keep_answer(self, request_id: UUID, *, body: bytes, content_type: str) -> None:
        self.answers[request_id] = (body, content_type)

    async def kept_answer(self, request_id: UUID) -> tuple[bytes, str] | None:
        return self.answers.get(request_id)
