"""Anything that can happen to earnings, in any order, against the same in plain Python."""

from dataclasses import dataclass, field
from uuid import UUID

import psycopg
import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing import earnings
from billing.movements import Reason
from billing.withdrawals import requests
from billing.withdrawals.errors import InsufficientEarningsError
from billing.withdrawals.models import Withdrawal
from tests.billing.withdrawals.conftest import Earner, set_terms
from tests.factories import ACTOR, PaywallFactory, TeamFactory

State = Withdrawal.State

STEP = st.tuples(
    st.sampled_from(["earn", "refund", "clear", "wait", "take back", "withdraw", "cancel", "fail"]),
    st.integers(1, 100),
)
CENT = 10**7
KEPT = {"reserve_days": 30, "minimum_nanos": 0}


@dataclass
class Model:
    """Whole cents. cleared below 0 is what is owed; `bps` of all that ever cleared is reserved."""

    bps: int
    pending: int = 0
    cleared: int = 0
    moved: int = 0
    open: list[tuple[UUID, int]] = field(default_factory=list)

    def settle(self) -> None:
        """Refunds beyond what is pending come out of what is cleared."""
        if self.pending < 0:
            self.cleared += self.pending
            self.pending = 0

    def clear(self) -> None:
        self.settle()
        self.moved += self.pending
        self.cleared += self.pending
        self.pending = 0

    @property
    def available(self) -> int:
        """In nanos, as the reserve is rounded up to them."""
        reserve = -(-self.moved * CENT * self.bps // 10_000)
        return max(0, (self.cleared + min(self.pending, 0)) * CENT - reserve)


def do(step: str, cents: int, model: Model, earner: Earner) -> None:
    match step:
        case "earn" | "refund":
            change = cents if step == "earn" else -cents
            model.pending += change
            earner.earn(change * CENT)
        case "clear":
            model.clear()
            earner.clear()
        case "wait":
            model.settle()
            terms = set_terms(clearing_days=7, **KEPT, reserve_bps=model.bps)
            assert terms.clearing_days == 7
            earner.clear()
            set_terms(**KEPT, reserve_bps=model.bps)
        case "take back":
            model.pending -= cents
            model.clear()
            why = Reason(actor="dev_1", reason="a lost dispute")
            earnings.take_back(earner.team, cents * CENT, why, livemode=True)
        case "withdraw":
            withdraw(cents, model, earner)
        case _ if model.open:
            end(State.CANCELLED if step == "cancel" else State.FAILED, model, earner)


def withdraw(cents: int, model: Model, earner: Earner) -> None:
    if cents * CENT > model.available:
        with pytest.raises(InsufficientEarningsError):
            earner.withdraw(cents * CENT)
        return
    model.cleared -= cents
    model.open.append((earner.withdraw(cents * CENT).pk, cents))


def end(state: Withdrawal.State, model: Model, earner: Earner) -> None:
    withdrawal_id, cents = model.open.pop(0)
    model.cleared += cents
    with transaction.atomic():
        requests.move(requests.find(withdrawal_id), state, actor=ACTOR)


@settings(
    max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(steps=st.lists(STEP, max_size=20), bps=st.sampled_from([0, 1_000, 10_000]))
def test_the_books_follow_the_model(
    steps: list[tuple[str, int]], bps: int, at_once: None, owner: psycopg.Connection
):
    set_terms(**KEPT, reserve_bps=bps)
    earner, model = Earner(TeamFactory.create(), PaywallFactory.create(), owner), Model(bps)
    earner.bank()
    earner.earn(1)  # Below a cent: it never counts here, and makes the accounts.
    earner.earn(-1)
    for step, cents in steps:
        do(step, cents, model, earner)
        now = earner.now
        assert (
            now.pending_nanos,
            now.cleared_nanos,
            now.owed_nanos,
            now.available_nanos,
        ) == (
            model.pending * CENT,
            max(model.cleared, 0) * CENT,
            max(-model.cleared, 0) * CENT,
            model.available,
        ), step
