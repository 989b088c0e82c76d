"""Random operations on a paywall's money, and the same in plain Python: equal after every step.

What changes nothing in the model must not change one byte in the database.
"""

import datetime as dt
import os
import time
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from billing import database
from config.kit import clock, ids
from tests.model.billing import Answer, Booked, Books, Terms
from tests.model.doors import Chat, Crash, Doors, House
from tests.model.draws import AMOUNTS, CAPS, CRASHES, DAYS, KEYS, PICKS, REFS, USERS, WANTS, scaled
from tests.model.ledger import NO_ID, Hold, Lot, is_late
from tests.support.figures import Tell
from tests.support.product import broken_promises

STEPS: Final = 1_000
LONG_STEPS: Final = int(os.environ.get("MODEL_STEPS", "8000"))
EXAMPLE_STEPS: Final = 50
"""Of one example, which is one paywall."""

EXAMPLES_MOST: Final = 200
SETTINGS: Final = settings(
    stateful_step_count=EXAMPLE_STEPS,
    deadline=None,
    print_blob=True,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)

A_YEAR: Final = dt.timedelta(days=365)
ZONES: Final = (("Etc/GMT+12", "Etc/GMT-12"), ("Etc/GMT+10", "Pacific/Kiritimati"))
"""Pairs 24 hours apart: a paywall that moves from one to the other is a day further."""

NOON: Final = 12 * 60
MARGIN: Final = 45
"""Minutes before the first pair's midnight, in which a run could meet it."""


class Money(RuleBasedStateMachine):
    """One paywall, two or three users, a day that can turn once."""

    house: House
    verify_every: int
    steps = 0
    paywalls = 0

    def __init__(self) -> None:
        super().__init__()
        minutes = clock.now().hour * 60 + clock.now().minute
        self.zones = list(ZONES[NOON - MARGIN < minutes <= NOON])
        self.doors = Doors(self.house, self.zones.pop(0))
        self.begin = clock.now()
        self.books = Books(self.begin, self._today())
        self.terms = Terms()
        self.chats: dict[UUID, Chat] = {}
        self.progress: dict[UUID, int] = {}
        self.seen: tuple[dict[str, Any], str] = ({}, "")
        self.sound = True

    @initialize(nanos=st.sampled_from([0, 40]), requests=st.sampled_from([0, 0, 2]), caps=CAPS)
    def terms_are_set(
        self, nanos: int, requests: int, caps: dict[str, dict[str, int]] | None
    ) -> None:
        self.terms = Terms((nanos, requests), scaled(caps))
        self._compare()

    @rule(user=USERS, amount=AMOUNTS, ref=REFS, days=DAYS)
    def deposit(self, user: str, amount: int, ref: int | None, days: int | None) -> None:
        expires = self._expiry(days)
        said, made = self.doors.deposit(user, amount, ref, self.terms, expires)
        booked = Booked(made, (user, amount, expires), amount)
        known = None if ref is None else bytes([ref]).hex()
        self._agree(
            [said], [self.books.pay_in("deposit", booked, user, known, self.terms, expires)]
        )

    @rule(
        kind=st.sampled_from(["deposit", "bonus"]), user=USERS, amount=AMOUNTS, ref=REFS, days=DAYS
    )
    def pay_in_by_hand(
        self, kind: str, user: str, amount: int, ref: int | None, days: int | None
    ) -> None:
        expires = self._expiry(days)
        said, made = self.doors.pay_in(kind, user, amount, _text(ref), expires)
        booked = Booked(made, (user, amount, expires), amount)
        answer = self.books.pay_in(kind, booked, user, _text(ref), Terms(), expires)
        self._agree([said], [answer])

    @rule(user=USERS, amount=AMOUNTS, sign=st.sampled_from([1, -1, -1]), ref=REFS)
    def adjust(self, user: str, amount: int, sign: int, ref: int | None) -> None:
        said, made = self.doors.adjust(user, sign * amount, _text(ref))
        booked = Booked(made, (user, sign * amount), amount)
        if sign > 0:
            answer = self.books.pay_in("adjustment", booked, user, _text(ref), Terms())
        else:
            answer = self.books.take_back(booked, user, _text(ref))
        self._agree([said], [answer])

    @rule(user=USERS, want=WANTS, less=WANTS, key=KEYS, crash=CRASHES)
    def reserve(
        self, user: str, want: int, less: int, key: tuple[int, int] | None, crash: Crash
    ) -> None:
        self._reserve([Chat(ids.uuid7(), user, want, max(want - less, 0), key)], crash)

    @rule(
        asks=st.lists(st.tuples(USERS, WANTS, WANTS, KEYS), min_size=2, max_size=10), crash=CRASHES
    )
    def reserve_many(
        self, asks: list[tuple[str, int, int, tuple[int, int] | None]], crash: Crash
    ) -> None:
        # Of a batch that is tried again, a key may have passed from one chat to another.
        chats = [
            Chat(ids.uuid7(), user, want, max(want - less, 0), key if crash == "none" else None)
            for user, want, less, key in asks
        ]
        self._reserve(chats, crash)

    def _reserve(self, chats: Sequence[Chat], crash: Crash) -> None:
        said = self.doors.reserve(chats, self.terms, crash)
        answers = [
            self.books.reserve(c.id, c.user, (c.want, c.least), c.key, self.terms) for c in chats
        ]
        placed = {
            c.id: c for c, answer in zip(chats, answers, strict=True) if answer[0] == "allowed"
        }
        self.chats |= placed
        self._agree(said, answers)

    @precondition(lambda self: self.chats)
    @rule(
        picks=st.lists(st.tuples(PICKS, WANTS, st.booleans()), min_size=1, max_size=8),
        crash=CRASHES,
    )
    def settle(self, picks: list[tuple[int, int, bool]], crash: Crash) -> None:
        bills: dict[UUID, tuple[Chat, int, bool]] = {}
        for pick, charge, zero in picks:
            chat = list(self.chats.values())[pick % len(self.chats)]
            bills[chat.id] = (chat, 0 if zero else charge, zero)
        said = self.doors.settle(list(bills.values()), crash)
        order = [*list(bills)[:1], *sorted(list(bills)[1:])]
        ended = {}
        for request in order:
            _, charge, failed = bills[request]
            hold = self.books.holds[request]
            late = is_late(hold, charge)
            ended[request] = ("settled", self.books.settle(hold, charge, failed=failed), late)
            del self.chats[request]
        self._agree(said, [ended[request] for request in bills])

    @precondition(lambda self: self.chats)
    @rule(pick=PICKS, charge=WANTS)
    def beat(self, pick: int, charge: int) -> None:
        """A chat goes on; the heartbeat renews all leases and keeps what was delivered."""
        chat = list(self.chats.values())[pick % len(self.chats)]
        self.progress[chat.id] = charge
        self.doors.track(chat, charge)
        self.doors.beat()
        for request in self.chats:
            hold = self.books.holds[request]
            hold.lapsed = False
            hold.checkpoint = self.progress.get(request, hold.checkpoint)
        self._compare()

    @precondition(lambda self: self.chats)
    @rule()
    def die(self) -> None:
        """The process is killed; who comes after it knows of no hold."""
        self.doors.die()
        self.chats.clear()
        self._compare()

    @precondition(lambda self: self._open())
    @rule(picks=st.lists(PICKS, min_size=1, max_size=4), reap=st.booleans())
    def lapse(self, picks: list[int], reap: bool) -> None:
        """Leases run out; perhaps the reaper comes before the next heartbeat."""
        held = self._open()
        lapsed = {held[pick % len(held)].id: held[pick % len(held)] for pick in picks}
        for hold in lapsed.values():
            hold.lapsed = True
        self.doors.lapse(list(lapsed))
        if reap:
            self.doors.reap()
            self.books.reap()
        self._compare()

    @rule(user=USERS, amount=AMOUNTS, ref=REFS, crash=CRASHES)
    def charge(self, user: str, amount: int, ref: int | None, crash: Crash) -> None:
        said, made = self.doors.charge(user, amount, ref, self.terms, crash)
        known = made if ref is None else bytes([ref]).hex()
        answer = self.books.charge(made, user, amount, known, self.terms)
        if crash == "unanswered" and answer[0] == "booked":  # The second try finds the first.
            answer = (*answer[:-1], True)
        self._agree([said], [answer])

    @rule(user=USERS, amount=AMOUNTS, ref=REFS)
    def charge_by_hand(self, user: str, amount: int, ref: int | None) -> None:
        said, made = self.doors.charge_by_hand(user, amount, _text(ref))
        known = made if ref is None else _text(ref)
        answer = self.books.charge(made, user, amount, known, Terms())
        self._agree([said], [("topup",) if answer == ("debt",) else answer])

    @precondition(lambda self: self.books.charges)
    @rule(pick=PICKS, amount=AMOUNTS, whole=st.booleans(), ref=REFS)
    def refund(self, pick: int, amount: int, whole: bool, ref: int | None) -> None:
        charge = self.books.charges[pick % len(self.books.charges)]
        if charge.hold is not None:
            charge.transaction = self.doors.transaction_of(charge.hold)
        assert charge.transaction is not None
        amount = charge.amount - charge.back or amount if whole else amount
        said = self.doors.refund(charge.transaction, amount, _text(ref))
        answer = self.books.refund(charge, Booked(charge.transaction, amount, amount), _text(ref))
        self._agree([said], [answer])

    @precondition(lambda self: self.books.wallets)
    @rule(pick=PICKS, line=st.sampled_from([0, 30, 80]))
    def set_line(self, pick: int, line: int) -> None:
        user = list(self.books.wallets)[pick % len(self.books.wallets)]
        said = self.doors.set_line(user, line)
        self._agree([said], [self.books.set_line(self.books.wallets[user], line)])

    @precondition(lambda self: self._lots())
    @rule(pick=PICKS, sweep=st.booleans())
    def expire(self, pick: int, sweep: bool) -> None:
        """A lot's time has come; perhaps nobody comes to book it."""
        lot = self._lots()[pick % len(self._lots())]
        assert lot.expires is not None
        lot.expires -= A_YEAR
        self.doors.expire(lot.id, lot.expires)
        if sweep:
            self._sweep()
        self._compare()

    @rule()
    def roll_up(self) -> None:
        self.doors.roll_up()
        self._compare(changes_nothing=True)

    @rule(paused=st.booleans())
    def pause(self, paused: bool) -> None:
        self.doors.pause(clock.now() if paused else None)
        self.books.paused = paused
        self._compare(changes_nothing=True)

    @rule(caps=CAPS)
    def set_caps(self, caps: dict[str, dict[str, int]] | None) -> None:
        self.terms = Terms(self.terms.trial, scaled(caps))

    @precondition(lambda self: self.zones)
    @rule()
    def tomorrow(self) -> None:
        self.doors.paywall.timezone = self.zones.pop()
        self.books.today = self._today()

    def teardown(self) -> None:
        """Everything ends: no hold is left, and what has expired is booked."""
        held = self._open()
        self.doors.lapse([hold.id for hold in held])
        self.doors.die()
        self.doors.reap()
        for hold in held:
            hold.lapsed = True
        self.books.reap()
        self._sweep()
        type(self).paywalls += 1
        if self.sound:
            self._compare()
            assert not self._open()
        if self.sound and self.paywalls % self.verify_every == 0:
            assert broken_promises() == []

    def _sweep(self) -> None:
        self.doors.sweep_lots()
        for wallet in self.books.wallets.values():
            self.books.expire(wallet)

    def _open(self) -> list[Hold]:
        return [hold for hold in self.books.holds.values() if hold.ends == "open"]

    def _lots(self) -> list[Lot]:
        """Those that will expire."""
        return [
            lot
            for wallet in self.books.wallets.values()
            for lot in wallet.lots
            if lot.remaining and lot.expires and lot.expires > self.begin
        ]

    def _expiry(self, days: int | None) -> dt.datetime | None:
        return self.begin + dt.timedelta(days=days) if days else None

    def _today(self) -> dt.date:
        return clock.now().astimezone(ZoneInfo(self.doors.paywall.timezone)).date()

    def _agree(self, said: Sequence[Answer], answers: Sequence[Answer]) -> None:
        """The product answers as the model does; of several limits it may name any."""
        self.sound = False
        for real, plain in zip(said, answers, strict=True):
            if plain[0] == "limited":
                assert real[0] == "limited"
                assert real[1] in {(subject.split()[0], kind) for subject, kind in plain[1]}
            else:
                assert real == plain
        self.sound = True
        self._compare(changes_nothing=True)

    def _compare(self, *, changes_nothing: bool = False) -> None:
        """The database is as the model; where the model did not move, no row has."""
        type(self).steps += 1
        self.sound = False
        view, digest, lots = self.doors.see()
        self._learn(lots)
        expected = self.books.view()
        assert view == expected
        if changes_nothing and expected == self.seen[0]:
            assert digest == self.seen[1], "a row was changed by what changes nothing"
        self.seen = (expected, digest)
        self.sound = True

    def _learn(self, lots: Sequence[Sequence[str]]) -> None:
        """What the database chose: the ids of lots, and the moment at which a trial ends."""
        for lot_id, user, transaction, expires in lots:
            for lot in self.books.wallets[user].lots:
                known = lot.transaction or (UUID(transaction) if lot.kind == "trial" else None)
                if lot.id == NO_ID and known == UUID(transaction):
                    lot.id, lot.transaction = UUID(lot_id), known
                    lot.expires = dt.datetime.fromisoformat(expires) if expires else None


def _text(ref: int | None) -> str | None:
    return None if ref is None else f"ref {ref}"


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that lost its connection is tried again without a pause."""
    monkeypatch.setattr(database, "RETRY_S", 0)


@pytest.mark.slow
@pytest.mark.proves("F83")
@pytest.mark.timeout(600)
def test_money_is_as_a_plain_model_says(at_once: None, figures: Tell) -> None:
    assert run(STEPS, 1, figures) >= STEPS


@pytest.mark.long
@pytest.mark.proves("F83")
@pytest.mark.timeout(3_600)
def test_money_is_as_a_plain_model_says_for_long(at_once: None, figures: Tell) -> None:
    assert run(LONG_STEPS, 50, figures) >= LONG_STEPS


def run(steps: int, verify_every: int, figures: Tell) -> int:
    """At least so many steps, with sound books at their end; how many there were."""
    house = House()
    machine: type[Money] = type("Of", (Money,), {"house": house, "verify_every": verify_every})
    began = time.monotonic()
    try:
        while machine.steps < steps:
            wanted = (steps - machine.steps) // EXAMPLE_STEPS + 1
            run_state_machine_as_test(
                machine, settings=settings(SETTINGS, max_examples=min(wanted, EXAMPLES_MOST))
            )
    finally:
        house.close()
    speed = machine.steps / (time.monotonic() - began)
    figures(f"{machine.steps:,} steps on {machine.paywalls:,} paywalls, {speed:.0f} a second")
    assert broken_promises() == []
    return machine.steps
