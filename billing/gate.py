"""The gate: the async door to the money functions, one per process.

Reserve before dispatch, settle before the last byte. Calls of a kind are batched naturally; a call
that fails in a batch is tried alone, so that nobody's error becomes a neighbour's.
"""

import asyncio
import datetime as dt
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple
from uuid import UUID

import orjson
import psycopg
import structlog

from billing import wire
from billing.batch import Batcher
from billing.database import Database, persistently
from billing.errors import WALLET_FULL, GateUnavailableError
from billing.line import Line
from billing.types import Ask, Bill, Movement, Payer, Progress, Settled
from config.kit import ids
from config.kit.errors import InvalidRequestError
from paywalls.decisions import Allowed, Decision

log = structlog.get_logger(__name__)

SETTLE_RETRY_S: Final = 600.0
"""How long a settlement is tried again while the database is away. Nobody reaps meanwhile, and the
first heartbeat after an outage renews the lease."""

SETTLE_CLOSE_S: Final = 20.0
"""How long for once the process is to end; the lease is longer."""

SETTLE_PAUSE_S: Final = 0.5

CALL_S: Final = {
    "reserve": 4.0,
    "shared_reserve": 4.0,
    "charge": 8.0,
    "shared_charge": 8.0,
    "settle": 8.0,
    "shared_settle": 8.0,
    "renew": 5.0,
}
"""How long a call may take, with all its tries. Who wants to spend is refused soon; a lease can be
missed a few times; a settlement is tried again anyway. Shared paywalls have calls of their own."""


@dataclass(slots=True)
class _Open:
    """A hold of this process: its lease is renewed until it is settled."""

    user_id: UUID
    trial: bool
    transaction_id: UUID
    progress: Callable[[], Progress] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSettings:
    """Times of holds, in seconds. total: the longest a request may run, with grace."""

    lease_s: int
    heartbeat_s: float
    total_s: int


class _Calls(NamedTuple):
    """What waits to go to the database together: of Default paywalls, or of Shared ones."""

    reserve: Batcher[Ask, Decision]
    settle: Batcher[dict[str, object], Settled]
    charge: Batcher[dict[str, object], Movement | Decision]


class Gate:
    """Open it in the lifespan; close drains settlements first."""

    def __init__(self, database: Database, settings: GateSettings) -> None:
        self.database = database
        self._settings = settings
        self._process = ids.uuid7()
        self._open: dict[UUID, _Open] = {}
        self._earning: dict[tuple[UUID, bool], tuple[UUID, ...]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._heart: asyncio.Task[None] | None = None
        self._settle_until = float("inf")  # Monotonic, once it closes.
        # The heartbeat has its own, because a pool full of slow calls must not cost every lease.
        self._lines = {
            kind: Line(database.url, statement_s=seconds) for kind, seconds in CALL_S.items()
        }
        self._calls = {shared: self._batchers(shared=shared) for shared in (False, True)}

    async def open(self) -> None:
        await self.database.open()
        self._heart = asyncio.create_task(self._beat())

    async def close(self) -> None:
        """Waits for what was spawned and for every round trip, then closes the pool."""
        self._settle_until = time.monotonic() + SETTLE_CLOSE_S
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await asyncio.sleep(0)  # lets the done callbacks take them out
        for calls in self._calls.values():
            for batcher in (calls.reserve, calls.settle, calls.charge):
                await batcher.drained()
        if self._heart is not None:
            self._heart.cancel()
            await asyncio.gather(self._heart, return_exceptions=True)
        for line in self._lines.values():
            await line.close()
        await self.database.close()

    @property
    def holds_open(self) -> int:
        """Holds of this process that are not settled yet."""
        return len(self._open)

    def spawn[T](self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task that outlives the request: held strongly, drained at close."""
        loop = asyncio.get_running_loop()
        task = asyncio.Task(coroutine, loop=loop, eager_start=True)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def reserve(self, ask: Ask) -> Decision:
        """Places a hold, or says why not. Cancelled callers get their hold released.

        Raises: GateUnavailableError.
        """
        await self._know_earning(ask.payer)
        decision = await self._calls[ask.payer.shared].reserve.call(ask)
        if isinstance(decision, Allowed):
            self._remember(ask, decision)
        return decision

    def track(self, request_id: UUID, progress: Callable[[], Progress]) -> None:
        """From now on every heartbeat keeps this request's progress for the reaper."""
        self._open[request_id].progress = progress

    async def settle(self, bill: Bill) -> Settled:
        """Books a bill; tried again for a while when the database is away.

        Raises: GateUnavailableError. The hold then ends by its last checkpoint.
        """
        deadline = time.monotonic() + SETTLE_RETRY_S
        booking = self._bill_object(bill)
        try:
            while True:
                try:
                    settled = await self._calls[bill.payer.shared].settle.call(booking)
                except GateUnavailableError:
                    if time.monotonic() > min(deadline, self._settle_until):
                        log.exception("settle.gave_up", request=ids.encode("req", bill.request_id))
                        raise
                    await asyncio.sleep(SETTLE_PAUSE_S)
                else:
                    if settled.late:
                        log.warning("settle.late", request=ids.encode("req", bill.request_id))
                    return settled
        finally:
            self._open.pop(bill.request_id, None)

    async def charge(
        self,
        payer: Payer,
        *,
        transaction_id: UUID,
        amount_nanos: int,
        key: bytes | None,
        fingerprint: bytes | None,
        metadata: Mapping[str, object] | None,
    ) -> Movement | Decision:
        """A manual charge, all or nothing. `key` repeats: the first movement again.

        Raises: GateUnavailableError.
        """
        earns = await self._know_earning(payer)
        return await self._calls[payer.shared].charge.call(
            wire.payer_object(payer)
            | wire.earning_object(earns)
            | {
                "id": ids.uuid7(),
                "txn": transaction_id,
                "want": amount_nanos,
                "least": amount_nanos,
                "ref": key.hex() if key else str(transaction_id),
                "print": fingerprint.hex() if key and fingerprint else None,
                "metadata": metadata,
            }
        )

    async def deposit(  # noqa: PLR0913 (all named)
        self,
        payer: Payer,
        *,
        transaction_id: UUID,
        amount_nanos: int,
        expires_at: dt.datetime | None,
        key: bytes | None,
        fingerprint: bytes | None,
        metadata: Mapping[str, object] | None,
    ) -> Movement | Decision:
        """Credits money that the developer took outside. `key` repeats: the first movement again.

        Raises: GateUnavailableError; InvalidRequestError for more than a wallet can hold.
        """
        movement = wire.payer_object(payer) | {
            "id": transaction_id,
            "kind": "deposit",
            "from": "external",
            "amount": amount_nanos,
            "expires": expires_at,
            "ref": key.hex() if key else str(transaction_id),
            "print": fingerprint.hex() if key and fingerprint else None,
            "metadata": metadata,
            "actor": str(payer.key_id or ""),
        }
        try:
            text = await self.database.value(
                "SELECT billing_credit(%s::jsonb)::text", [_dump(movement)]
            )
        except psycopg.Error as error:
            if error.sqlstate == "PW002":
                return wire.decision_of({"outcome": "repeated_key", "state": "mismatch"})
            if error.sqlstate == "22003":
                raise InvalidRequestError(WALLET_FULL, param="amount") from error
            raise
        return wire.movement_of(orjson.loads(text))

    async def _know_earning(self, payer: Payer) -> tuple[UUID, ...]:
        known = self._earning.get((payer.paywall_id, payer.livemode))
        if known is None:
            query = (
                "SELECT billing_parties(%s, %s)"
                if payer.shared
                else "SELECT ARRAY[billing_revenue(%s, %s)]"
            )
            found = await self.database.value(query, [payer.paywall_id, payer.livemode])
            assert isinstance(found, list), found
            known = self._earning[payer.paywall_id, payer.livemode] = tuple(found)
        return known

    def _earns(self, payer: Payer) -> tuple[UUID, ...]:
        return self._earning[payer.paywall_id, payer.livemode]

    def _batchers(self, *, shared: bool) -> _Calls:
        kind = "shared_{}" if shared else "{}"
        return _Calls(
            reserve=Batcher(partial(self._reserve_batch, kind.format("reserve")), self._abandon),
            settle=Batcher(partial(self._settle_batch, kind.format("settle")), _nothing),
            charge=Batcher(partial(self._charge_batch, kind.format("charge")), _nothing),
        )

    async def _reserve_batch(
        self, kind: str, asks: Sequence[Ask]
    ) -> Sequence[Decision | Exception]:
        objects = [wire.ask_object(ask, earns=self._earns(ask.payer)) for ask in asks]
        terms = [str(self._process), str(self._settings.lease_s), str(self._settings.total_s)]
        answers = await self._batched(kind, "($1, $2, $3, $4)", objects, terms)
        return [a if isinstance(a, Exception) else wire.decision_of(a) for a in answers]

    async def _settle_batch(
        self, kind: str, bills: Sequence[dict[str, object]]
    ) -> Sequence[Settled | Exception]:
        answers = await self._batched(kind, "($1)", bills, [])
        return [a if isinstance(a, Exception) else wire.settled_of(a) for a in answers]

    async def _charge_batch(
        self, kind: str, asks: Sequence[dict[str, object]]
    ) -> Sequence[Movement | Decision | Exception]:
        answers = await self._batched(kind, "($1)", asks, [])
        return [a if isinstance(a, Exception) else wire.movement_of(a) for a in answers]

    def _bill_object(self, bill: Bill) -> dict[str, object]:
        hold = self._open[bill.request_id]
        return wire.bill_object(
            bill,
            earns=self._earns(bill.payer),
            user=hold.user_id,
            transaction=hold.transaction_id,
            trial=hold.trial,
        )

    async def _batched(
        self, kind: str, signature: str, objects: Sequence[Mapping[str, object]], terms: list[str]
    ) -> list[Any]:
        """An answer or an exception for each object; singly where the batch as a whole fails."""
        if len(objects) > 1:
            try:
                answers = await self._call(kind, f"{kind}_many{signature}", objects, terms)
            except GateUnavailableError as error:
                return [error] * len(objects)
            except psycopg.Error as error:
                log.warning("gate.batch_failed", size=len(objects), sqlstate=error.sqlstate)
            else:
                by_id = {answer["id"]: answer for answer in answers}
                return [by_id[str(item["id"])] for item in objects]
        return [await self._single(kind, f"{kind}_one{signature}", o, terms) for o in objects]

    async def _single(
        self, kind: str, call: str, item: Mapping[str, object], terms: list[str]
    ) -> Any:
        try:
            return await self._call(kind, call, item, terms)
        except (GateUnavailableError, psycopg.Error) as error:
            return error

    async def _call(self, kind: str, call: str, what: object, terms: list[str]) -> Any:
        query, arguments = f"SELECT billing_{call}::text", [_dump(what), *terms]
        return orjson.loads(await self._line(kind, query, arguments))

    async def _line(self, kind: str, query: str, arguments: list[str]) -> bytes:
        line = self._lines[kind]
        return await persistently(lambda: line.call(query, arguments), within_s=CALL_S[kind])

    def _remember(self, ask: Ask, decision: Allowed) -> None:
        self._open[ask.request_id] = _Open(decision.user_id, decision.trial, ids.uuid7())

    def _abandon(self, ask: Ask, decision: Decision) -> None:
        """The caller left while its hold was being placed: give the money back."""
        if isinstance(decision, Allowed):
            self._remember(ask, decision)
            self.spawn(self._release(ask))

    async def _release(self, ask: Ask) -> None:
        await self.settle(
            Bill(
                request_id=ask.request_id,
                payer=ask.payer,
                charge_nanos=0,
                provider_cost_nanos=0,
                status="failed",
                policy="client_gone",
                usage={},
                usage_source="none",
                model=str(ask.facts.get("model", "")),
                connection_id=None,
                rate_id=None,
                error_code="client_gone",
                http_status=499,
            )
        )

    async def renew(self) -> None:
        """Renews the lease of every open hold, in one statement, with their progress."""
        progress = {
            str(request_id): wire.progress_object(hold.progress())
            for request_id, hold in self._open.items()
            if hold.progress is not None
        }
        holds = f"{{{','.join(map(str, self._open))}}}"
        terms = [str(self._process), holds, _dump(progress), str(self._settings.lease_s)]
        query = "SELECT count(*)::text FROM ledger_renew($1, $2, $3, $4)"
        await self._line("renew", query, terms)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._settings.heartbeat_s)
            if not self._open:
                continue
            try:
                await self.renew()
            except Exception as error:  # The outermost handler of a task: all leases hang on it.
                log.warning("gate.heartbeat_failed", error=type(error).__name__)


def _dump(value: object) -> str:
    return orjson.dumps(value).decode()


def _nothing(_ask: object, _answer: object) -> None:
    """A settlement or a manual charge stands whether or not its caller still waits."""
