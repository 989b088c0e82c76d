"""The product's doors to money for one paywall: what they answer, and what they leave behind.

The gate is the real one on a loop of its own, movements go through Django. A call of the gate can
lose its connection, before it arrives or after it was booked.
"""

import asyncio
import datetime as dt
import hashlib
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal
from uuid import UUID

import orjson
import psycopg
from django.conf import settings
from django.db import transaction

from billing import credit, movements, tasks
from billing.database import Database
from billing.errors import (
    CreditLineInUseError,
    IdempotencyMismatchError,
    InsufficientFundsError,
    MovementRefusedError,
    RefundTooLargeError,
)
from billing.gate import Gate, GateSettings
from billing.line import Line
from billing.movements import Reason
from billing.types import Ask, Bill, Movement, Payer, Progress
from config.kit import ids
from paywalls.decisions import Allowed, Decision, Limited, NeedsTopUp, Refused, Repeated
from paywalls.models import ApiKey, Paywall
from tests.factories import PaywallFactory, make_key
from tests.model.billing import MISMATCH, Answer, Terms

Crash = Literal["none", "unsent", "unanswered"]

LONG: Final = GateSettings(lease_s=3600, heartbeat_s=3600, total_s=3600)
VIEW: Final = Path(__file__).with_name("view.sql").read_bytes()
ACTOR: Final = "command:tests"


class LossyLine(Line):
    """A line that can lose its connection once: before a call is sent, or before its answer."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self.crash: Crash = "none"

    async def close(self) -> None:
        await self._line.close()

    async def call(self, query: str, arguments: Sequence[str]) -> bytes:
        crash, self.crash = self.crash, "none"
        if crash == "unsent":
            await self._lose()
        answer = await self._line.call(query, arguments)
        if crash == "unanswered":
            await self._lose()
        return answer

    async def _lose(self) -> None:
        await self.close()
        raise psycopg.OperationalError("planted: the connection was lost")


@dataclass(frozen=True)
class Chat:
    """A chat that asks for a hold; key: its Idempotency-Key and its fingerprint."""

    id: UUID
    user: str
    want: int
    least: int
    key: tuple[int, int] | None = None


class House:
    """One process of the product and its owner's eye on the tables, for all examples of a run."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        self.gate = Gate(Database(settings.DATABASE_URL, size=1), LONG)
        self.lines = {kind: LossyLine(line) for kind, line in self.gate._lines.items()}
        self.gate._lines |= self.lines
        self.run(self.gate.open())
        self.owner = psycopg.connect(settings.DATABASE_OWNER_URL, autocommit=True)
        self.owner.prepare_threshold = 0

    def run[T](self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def close(self) -> None:
        self.run(self.gate.close())
        self.runner.close()
        self.owner.close()


class Doors:
    """A new paywall's."""

    def __init__(self, house: House, zone: str) -> None:
        self.house = house
        self.gate = house.gate
        self.paywall: Paywall = PaywallFactory.create(timezone=zone)
        self.key: ApiKey = make_key(self.paywall)[0]
        self.run(self.gate._know_earning(self._payer("", Terms())))

    def run[T](self, work: Coroutine[Any, Any, T]) -> T:
        return self.house.run(work)

    def see(self) -> tuple[dict[str, Any], str, list[Any]]:
        """The money as the model tells it, a digest of all rows, and the lots."""
        row = self.house.owner.execute(
            VIEW, {"paywall": self.paywall.pk, "key": self.key.pk}
        ).fetchone()
        assert row is not None
        view = {
            name: {} if value is None else value for name, value in orjson.loads(row[0]).items()
        }
        return view, row[1], orjson.loads(row[2] or "[]")

    def pause(self, moment: dt.datetime | None) -> None:
        Paywall.objects.filter(pk=self.paywall.pk).update(paused_at=moment)

    def reserve(self, chats: Sequence[Chat], terms: Terms, crash: Crash) -> list[Answer]:
        """All at once: the first goes alone, the others go together."""
        self.house.lines["reserve"].crash = crash
        return [answer_of(decision) for decision in self.run(self._reserve(chats, terms))]

    async def _reserve(self, chats: Sequence[Chat], terms: Terms) -> list[Decision]:
        asks = [self._ask(chat, terms) for chat in chats]
        return await asyncio.gather(*map(self.gate.reserve, asks))

    def settle(self, bills: Sequence[tuple[Chat, int, bool]], crash: Crash) -> list[Answer]:
        """Ends chats with a charge, as failed or not. Answers charge and whether it was late."""
        self.house.lines["settle"].crash = crash
        return self.run(self._settle(bills))

    async def _settle(self, bills: Sequence[tuple[Chat, int, bool]]) -> list[Answer]:
        settled = await asyncio.gather(*(self.gate.settle(self._bill(*bill)) for bill in bills))
        return [("settled", each.charged_nanos, each.late) for each in settled]

    def track(self, chat: Chat, charge: int) -> None:
        """From now on heartbeats keep so much for the reaper."""
        progress = Progress(charge_nanos=charge, provider_cost_nanos=0, delivered=True, usage={})
        self.gate.track(chat.id, lambda: progress)

    def beat(self) -> None:
        self.run(self.gate.renew())

    def die(self) -> None:
        """As after `kill -9`: nobody knows of the open holds any more."""
        self.gate._open.clear()

    def lapse(self, holds: Sequence[UUID]) -> None:
        self.house.owner.execute(
            "UPDATE ledger_hold SET lease_until = clock_timestamp() - interval '1 s'"
            " WHERE id = ANY (%s)",
            [list(holds)],
        )

    def reap(self) -> None:
        """One sweep, as if the last had been a moment ago."""
        self.house.owner.execute(
            "INSERT INTO ledger_sweep (id, rolled_upto, last_at) VALUES (1, 0, now())"
            " ON CONFLICT (id) DO UPDATE SET last_at = now(), grace_until = NULL"
        )
        self.house.owner.execute("SELECT billing_reap(0, 1000)")

    def expire(self, lot: UUID, moment: dt.datetime) -> None:
        self.house.owner.execute(
            "UPDATE ledger_lot SET expires_at = %s WHERE id = %s", [moment, lot]
        )

    def sweep_lots(self) -> None:
        tasks.expire_lots()

    def roll_up(self) -> None:
        self.house.owner.execute("SELECT ledger_roll_up(0)")

    def charge(
        self, user: str, amount: int, ref: int | None, terms: Terms, crash: Crash
    ) -> tuple[Answer, UUID]:
        """A manual charge by the gate. Answers the transaction, too."""
        self.house.lines["charge"].crash = crash
        made = ids.uuid7()
        answer = self.run(
            self.gate.charge(
                self._payer(user, terms),
                transaction_id=made,
                amount_nanos=amount,
                key=None if ref is None else bytes([ref]),
                fingerprint=fingerprint_of(user, amount),
                metadata={"planted": True},
            )
        )
        return answer_of(answer), made

    def deposit(
        self, user: str, amount: int, ref: int | None, terms: Terms, expires: dt.datetime | None
    ) -> tuple[Answer, UUID]:
        """A deposit by the gate. Answers the transaction, too."""
        made = ids.uuid7()
        answer = self.run(
            self.gate.deposit(
                self._payer(user, terms),
                transaction_id=made,
                amount_nanos=amount,
                expires_at=expires,
                key=None if ref is None else bytes([ref]),
                fingerprint=fingerprint_of(user, amount, expires),
                metadata=None,
            )
        )
        return answer_of(answer), made

    def pay_in(
        self, kind: str, user: str, amount: int, ref: str | None, expires: dt.datetime | None
    ) -> tuple[Answer, UUID]:
        """A deposit or a bonus by hand. Answers the transaction, too."""
        move = movements.deposit if kind == "deposit" else movements.bonus
        return _by_hand(lambda: move(self.paywall, user, amount, _why(ref), expires_at=expires))

    def adjust(self, user: str, amount: int, ref: str | None) -> tuple[Answer, UUID]:
        return _by_hand(lambda: movements.adjust(self.paywall, user, amount, _why(ref)))

    def charge_by_hand(self, user: str, amount: int, ref: str | None) -> tuple[Answer, UUID]:
        return _by_hand(lambda: movements.charge(self.paywall, user, amount, _why(ref)))

    def refund(self, charge: UUID, amount: int, ref: str | None) -> Answer:
        return _by_hand(lambda: movements.refund(charge, amount, _why(ref)))[0]

    def transaction_of(self, hold: UUID) -> UUID:
        row = self.house.owner.execute(
            "SELECT transaction_id FROM ledger_hold WHERE id = %s", [hold]
        ).fetchone()
        assert row is not None
        assert isinstance(row[0], UUID)
        return row[0]

    def set_line(self, user: str, nanos: int) -> Answer:
        try:
            with transaction.atomic():
                credit.set_line(self.paywall, user, nanos, livemode=True, actor=ACTOR)
        except CreditLineInUseError:
            return ("in use",)
        return ("set",)

    def _payer(self, user: str, terms: Terms) -> Payer:
        nanos, requests = terms.trial
        caps = terms.caps or {}
        return Payer(
            paywall_id=self.paywall.pk,
            key_id=self.key.pk,
            livemode=True,
            currency=self.paywall.currency,
            timezone=self.paywall.timezone,
            user=user,
            trial_nanos=nanos,
            trial_requests=requests,
            trial_days=1,
            user_caps=caps.get("user", {}),
            key_caps=caps.get("key", {}),
            paywall_caps=caps.get("paywall", {}),
        )

    def _ask(self, chat: Chat, terms: Terms) -> Ask:
        made = Ask(
            request_id=chat.id,
            payer=self._payer(chat.user, terms),
            want_nanos=chat.want,
            least_nanos=chat.least,
            facts={"model": "model", "streamed": True},
        )
        if chat.key is None:
            return made
        key, fingerprint = (bytes([part]) * 32 for part in chat.key)
        return replace(made, idempotency_key=key, fingerprint=fingerprint)

    def _bill(self, chat: Chat, charge: int, failed: bool) -> Bill:
        return Bill(
            request_id=chat.id,
            payer=self._payer(chat.user, Terms()),
            charge_nanos=charge,
            provider_cost_nanos=0,
            status="failed" if failed else "completed",
            policy="tests",
            usage={},
            usage_source="none",
            model="model",
            connection_id=None,
            rate_id=None,
        )


def answer_of(answer: Decision | Movement) -> Answer:
    """As `tests.model.billing` puts it."""
    match answer:
        case Movement():
            return ("booked", answer.amount_nanos, answer.replayed)
        case Allowed():
            return ("allowed", answer.granted_nanos, answer.trial)
        case NeedsTopUp():
            return ("debt",) if answer.debt else ("topup",)
        case Limited():
            return ("limited", (answer.subject, answer.kind))
        case Repeated():
            return ("repeated", answer.state, answer.request_id, answer.charged_nanos)
        case Refused():
            return (answer.code,)
    raise AssertionError(answer)


def fingerprint_of(*said: object) -> bytes:
    return hashlib.sha256(repr(said).encode()).digest()


def _why(ref: str | None) -> Reason:
    return Reason(actor=ACTOR, reason="tests", ref=ref)


def _by_hand(move: Callable[[], Movement]) -> tuple[Answer, UUID]:
    """The movement's answer and transaction; of a refused one, no transaction of anybody's."""
    try:
        made = move()
    except IdempotencyMismatchError:
        return MISMATCH, ids.uuid7()
    except RefundTooLargeError:
        return ("too large",), ids.uuid7()
    except InsufficientFundsError:
        return ("topup",), ids.uuid7()
    except MovementRefusedError:
        return ("paywall_paused",), ids.uuid7()
    return answer_of(made), made.transaction_id
