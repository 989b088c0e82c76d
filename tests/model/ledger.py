"""Wallets, lots, holds and caps in plain Python: what `ledger/sql` must come to, step for step.

No locks, no batches, no sets. Amounts in nanos.
"""

import datetime as dt
from collections import Counter
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

FOREVER: Final = dt.datetime.max.replace(tzinfo=dt.UTC)
PRIORITIES: Final = {"trial": 0, "bonus": 5, "deposit": 10}
NO_ID: Final = UUID(int=0)

type Caps = dict[str, dict[str, int]]
"""{subject: {kind: limit}}"""


class Refusal(Exception):  # noqa: N818 (an answer, not a fault)
    """An operation is refused; the arguments say why."""


@dataclass(eq=False)
class Lot:
    """A part of a wallet with its own rules. The id, and a trial's expiry, are the database's."""

    kind: str
    transaction: UUID | None
    amount: int
    remaining: int
    expires: dt.datetime | None
    held: int = 0
    id: UUID = NO_ID

    @property
    def free(self) -> int:
        return self.remaining - self.held

    def has_expired(self, now: dt.datetime) -> bool:
        return self.expires is not None and self.expires <= now


@dataclass(eq=False)
class Wallet:
    """What an end user has; lots are a part of `posted`."""

    trials_left: int
    posted: int = 0
    held: int = 0
    owed: int = 0
    floor: int = 0
    lots: list[Lot] = field(default_factory=list)

    @property
    def free(self) -> int:
        return self.posted - self.held

    def spendable(self, now: dt.datetime) -> int:
        return self.free - self.floor - sum(lot.free for lot in self.lots if lot.has_expired(now))

    def in_order(self) -> list[Lot]:
        """As they are spent."""
        return sorted(
            self.lots, key=lambda lot: (PRIORITIES[lot.kind], lot.expires or FOREVER, lot.id)
        )


@dataclass(eq=False)
class Tally:
    """What a subject with caps has used."""

    open: int = 0
    day: dt.date | None = None
    requests: int = 0
    day_spent: int = 0
    month_spent: int = 0

    def on(self, day: dt.date) -> "Tally":
        """Without what belongs to an earlier period."""
        same_day = self.day == day
        return Tally(
            open=self.open,
            day=day,
            requests=self.requests if same_day else 0,
            day_spent=self.day_spent if same_day else 0,
            month_spent=self.month_spent if in_one_month(self.day, day) else 0,
        )


@dataclass(eq=False)
class Hold:
    """Money set aside; ends: open, settled or released. checkpoint: the last charge it told of."""

    id: UUID
    user: str
    amount: int
    trial: bool
    day: dt.date
    subjects: list[str]
    parts: list[tuple[Lot, int]]
    ends: str = "open"
    charged: int = 0
    failed: bool = False
    lapsed: bool = False
    checkpoint: int | None = None


@dataclass(eq=False)
class Spent:
    """A charge: how much, from which lots first, and how much of it came back."""

    amount: int
    parts: list[tuple[Lot, int]]
    back: int = 0


class Ledger:
    """All money of one paywall. now, today: told by the test, today in the paywall's zone."""

    def __init__(self, now: dt.datetime, today: dt.date) -> None:
        self.now = now
        self.today = today
        self.wallets: dict[str, Wallet] = {}
        self.holds: dict[UUID, Hold] = {}
        self.tallies: dict[str, Tally] = {}
        self.accounts: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.late_nanos = 0

    def move(self, kind: str, wallet: Wallet, amount: int, other: str) -> None:
        wallet.posted += amount
        self.accounts[other] -= amount
        self.kinds[kind] += 1

    def credit(
        self, kind: str, wallet: Wallet, amount: int, other: str, lot: Lot | None = None
    ) -> None:
        """Debts are paid first; a lot begins with the rest."""
        self.move(kind, wallet, amount, other)
        rest = amount - self._collect(wallet)
        if lot and rest > 0:
            lot.remaining = rest
            wallet.lots.append(lot)

    def repay(self, wallet: Wallet, amount: int, spent: Spent) -> None:
        """Gives back what was spent last: lots get theirs, and what has expired expires again."""
        self.move("refund", wallet, amount, "revenue")
        upto, begin = spent.amount - spent.back, 0
        for lot, part in spent.parts:
            back = min(begin + part, upto) - max(begin, upto - amount)
            lot.remaining += max(back, 0)
            begin += part
        if spent.parts:
            self.expire(wallet)
        self._collect(wallet)

    def _collect(self, wallet: Wallet) -> int:
        """What is owed is paid from what is there, not from a credit line."""
        amount = min(wallet.owed, wallet.free - max(wallet.floor, 0))
        if amount <= 0:
            return 0
        self.move("collection", wallet, -amount, "receivable")
        self._trim(wallet)
        wallet.owed -= amount
        return amount

    def _trim(self, wallet: Wallet) -> None:
        """Money left other than by a charge: lots lose what the rest of the wallet did not have."""
        too_much = sum(lot.free for lot in wallet.lots) - max(wallet.free, 0)
        for lot in wallet.in_order():
            part = max(min(lot.free, too_much), 0)
            lot.remaining -= part
            too_much -= part

    def claw(self, wallet: Wallet, amount: int) -> None:
        """Takes what is there; the rest is owed."""
        taken = min(amount, max(wallet.free - wallet.floor, 0))
        self.kinds["adjustment"] += 1
        self.accounts["external"] += amount
        self.accounts["receivable"] -= amount - taken
        wallet.owed += amount - taken
        wallet.posted -= taken
        if taken:
            self._trim(wallet)

    def set_line(self, wallet: Wallet, line: int) -> tuple[str]:
        """Not below what is used; credits that may expire do not pay for that."""
        if wallet.free - sum(lot.free for lot in wallet.lots) < -line:
            return ("in use",)
        wallet.floor = -line
        return ("set",)

    def expire(self, wallet: Wallet) -> None:
        """What has expired and is not held goes to breakage."""
        for lot in wallet.lots:
            if lot.has_expired(self.now) and lot.free:
                self.move("expiry", wallet, -lot.free, "breakage")
                lot.remaining = lot.held

    def place(self, hold: UUID, user: str, want: int, least: int, caps: Caps) -> Hold:
        """Sets aside as much of `want` as the wallet and its caps allow.

        Raises: Refusal. What has expired is booked also then.
        """
        wallet = self.wallets[user]
        self.expire(wallet)
        left, limits = self._room(caps, least)
        granted = min(want, wallet.spendable(self.now), left)
        if limits:
            raise Refusal("limited", limits)
        if wallet.owed:
            raise Refusal("debt")
        if granted < max(least, 0):
            raise Refusal("topup")
        for subject in caps:
            tally = self.tallies[subject] = self.tallies.get(subject, Tally()).on(self.today)
            tally.open += 1
            tally.requests += 1
            tally.day_spent += granted
            tally.month_spent += granted
        parts = self._set_lots_aside(wallet, granted)
        self.holds[hold] = Hold(hold, user, granted, False, self.today, list(caps), parts)
        return self.holds[hold]

    def _room(self, caps: Caps, least: int) -> tuple[int, set[tuple[str, str]]]:
        """What spending caps leave, and every limit that says no."""
        left, limits = 10**18, set()
        for subject, kinds in caps.items():
            tally = self.tallies.get(subject, Tally()).on(self.today)
            used = {
                "concurrency": tally.open,
                "requests_day": tally.requests,
                "spend_day": tally.day_spent,
                "spend_month": tally.month_spent,
            }
            for kind, limit in kinds.items():
                room = limit - used[kind]
                spending = kind.startswith("spend")
                left = min(left, room) if spending else left
                if room <= 0 or (spending and room < least):
                    limits.add((subject, kind))
        return left, limits

    def _set_lots_aside(self, wallet: Wallet, amount: int) -> list[tuple[Lot, int]]:
        wallet.held += amount
        parts = []
        for lot in wallet.in_order():
            part = min(lot.free, amount)
            if part:
                lot.held += part
                amount -= part
                parts.append((lot, part))
        return parts

    def settle(self, hold: Hold, charge: int, *, failed: bool) -> int:
        """Ends a hold; what comes too late is written off. Returns what it was charged."""
        if hold.ends != "open":
            self.late_nanos += max(charge - hold.charged, 0) if is_late(hold, charge) else 0
            return hold.charged
        wallet = self.wallets[hold.user]
        charged = min(charge, hold.amount)
        hold.ends, hold.charged, hold.failed = "settled" if charged else "released", charged, failed
        wallet.held -= hold.amount
        if charged:
            self.move("charge", wallet, -charged, "revenue")
        self._give_back(hold, charged)
        if hold.trial and failed and not charged:
            wallet.trials_left += 1
        self._collect(wallet)
        return charged

    def _give_back(self, hold: Hold, charged: int) -> None:
        back = hold.amount - charged
        for lot, part in hold.parts:
            lot.held -= part
            lot.remaining -= min(part, charged)
            charged -= min(part, charged)
        for subject in hold.subjects:
            tally = self.tallies[subject]
            tally.open -= 1
            tally.day_spent -= back if tally.day == hold.day else 0
            tally.month_spent -= back if in_one_month(tally.day, hold.day) else 0

    def reap(self) -> None:
        """Holds that nobody renewed: what was delivered is charged, the rest is freed."""
        for hold in sorted(self.holds.values(), key=lambda hold: hold.id):
            if hold.ends == "open" and hold.lapsed:
                self.settle(hold, hold.checkpoint or 0, failed=hold.checkpoint is None)


def is_late(hold: Hold, charge: int) -> bool:
    """Whether somebody else ended the hold, unless there is nothing to book anyway."""
    return hold.ends == "settled" or (hold.ends == "released" and min(charge, hold.amount) > 0)


def in_one_month(one: dt.date | None, other: dt.date) -> bool:
    return one is not None and one.replace(day=1) == other.replace(day=1)
