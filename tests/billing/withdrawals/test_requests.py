"""Withdrawals: reserved once, approved by somebody else, ended once, given back once."""

import datetime as dt
import threading
from typing import Any

import pytest
from django.db import connection, transaction

from billing import earnings
from billing.errors import IdempotencyMismatchError
from billing.movements import Reason
from billing.webhooks import subscriptions
from billing.webhooks.models import Event
from billing.withdrawals import destinations, errors, paying, requests
from billing.withdrawals.models import Withdrawal
from config.kit import clock
from config.kit.errors import InvalidRequestError
from ledger.balances import balance
from ledger.models import Account, Entry
from paywalls.models import Change, Membership
from tests.billing.withdrawals.conftest import UNIT, Earner, set_terms
from tests.factories import ACTOR, MembershipFactory

State = Withdrawal.State


def move(row: Withdrawal, to: Withdrawal.State, **more: Any) -> Withdrawal:
    with transaction.atomic():
        return requests.move(row, to, **{"actor": "command:second", **more})


def sent(row: Withdrawal, owner: Any) -> Withdrawal:
    """As a batch or a worker leaves it."""
    owner.execute(
        "UPDATE billing_withdrawal SET state = 'sent', sent_at = now() WHERE id = %s", [row.pk]
    )
    return requests.find(row.pk)


def on_its_way(earner: Earner) -> int:
    return balance(Account.objects.get(kind="withdrawal", owner=earner.team.pk).pk)


class TestRequest:
    def test_sets_the_money_aside(self, earner: Earner):
        earner.cleared(100 * UNIT)
        made = earner.withdraw(60 * UNIT)
        assert (made.state, made.amount, made.fee, made.net) == (
            "approved",
            60 * UNIT,
            0,
            made.amount,
        )
        assert earner.figures == (0, 40 * UNIT, 40 * UNIT)
        assert on_its_way(earner) == 60 * UNIT

    def test_never_more_than_is_cleared(self, earner: Earner):
        earner.cleared(100 * UNIT)
        earner.earn(50 * UNIT)
        with pytest.raises(errors.InsufficientEarningsError, match="100 can be withdrawn"):
            earner.withdraw(101 * UNIT)
        assert earner.figures == (50 * UNIT, 100 * UNIT, 100 * UNIT)

    def test_never_the_reserve(self, earner: Earner):
        set_terms(reserve_bps=2_500, reserve_days=10)
        earner.cleared(100 * UNIT)
        with pytest.raises(errors.InsufficientEarningsError):
            earner.withdraw(76 * UNIT)
        assert earner.withdraw(75 * UNIT).reserve == 25 * UNIT

    def test_all_there_is_in_whole_cents(self, earner: Earner):
        earner.cleared(12_345_678_901)
        assert earner.withdraw(None).amount == 12_340_000_000
        assert earner.now.cleared_nanos == 5_678_901

    def test_the_fee_and_what_cannot_be_paid_are_the_platforms(self, earner: Earner):
        set_terms(fee_nanos=UNIT, fee_bps=150)
        earner.cleared(100 * UNIT)
        made = earner.withdraw(33_330_000_000)  # 1 + 0.49995
        assert (made.fee, made.net) == (1_500_000_000, 31_830_000_000)

    @pytest.mark.parametrize("amount", [0, -1, 10**18 + 1, 1_005_000_000])
    def test_refuses_what_cannot_be_paid(self, earner: Earner, amount: int):
        with pytest.raises(InvalidRequestError):
            earner.withdraw(amount)

    def test_refuses_less_than_the_minimum(self, earner: Earner):
        earner.cleared(5 * UNIT)
        set_terms(minimum_nanos=6 * UNIT)
        for amount in (5 * UNIT, None):
            with pytest.raises(errors.WithdrawalTooSmallError, match="at least 6"):
                earner.withdraw(amount)

    def test_needs_a_destination(self, earner: Earner):
        earner.cleared(5 * UNIT)
        earner.team.destinations.update(is_active=False)
        with pytest.raises(errors.NoDestinationError):
            earner.withdraw(5 * UNIT)
        assert earner.now.cleared_nanos == 5 * UNIT

    def test_a_key_is_good_for_ever_and_for_one_amount(self, earner: Earner):
        earner.cleared(100 * UNIT)
        made = earner.withdraw(60 * UNIT, key="k1")
        assert earner.withdraw(60 * UNIT, key="k1") == made
        with pytest.raises(IdempotencyMismatchError):
            earner.withdraw(61 * UNIT, key="k1")
        assert earner.now.cleared_nanos == 40 * UNIT

    @pytest.mark.parametrize(("role", "may"), [("admin", True), ("developer", False)])
    def test_asks_for_the_role(self, earner: Earner, role: str, may: bool):
        earner.cleared(10 * UNIT)
        user = MembershipFactory.create(team=earner.team, role=Membership.Role(role)).user
        if may:
            assert earner.withdraw(UNIT, by=user).amount == UNIT
            with pytest.raises(errors.NotAllowedError):
                earner.bank(by=user)
        else:
            with pytest.raises(errors.NotAllowedError):
                earner.withdraw(UNIT, by=user)

    def test_is_written_down_and_told(self, earner: Earner, owner: Any):
        subscribe(earner)
        made = earner.cleared(10 * UNIT).withdraw(UNIT)
        move(sent(made, owner), State.PAID)
        types = [event.type for event in Event.objects.filter(paywall_id=earner.paywall.pk)]
        assert sorted(types) == ["paywall.withdrawal.paid", "paywall.withdrawal.requested"]
        actions = Change.objects.filter(subject=made.public_id).values_list("action", flat=True)
        assert list(actions.order_by("id")) == ["withdrawal.requested", "withdrawal.paid"]


def subscribe(earner: Earner) -> None:
    draft = subscriptions.Draft(url="https://example.test/hook", events=["paywall.withdrawal.*"])
    with transaction.atomic():
        subscriptions.create(earner.paywall, draft, actor=ACTOR)


class TestApproval:
    def test_above_a_limit_a_second_person_approves(self, earner: Earner):
        set_terms(approval_above_nanos=50 * UNIT)
        earner.cleared(200 * UNIT)
        assert earner.withdraw(50 * UNIT).state == "approved"
        made = earner.withdraw(51 * UNIT)
        assert (made.state, made.next_at) == ("requested", None)
        with pytest.raises(errors.SecondPersonError, match="another person"):
            move(made, State.APPROVED, actor=ACTOR)
        with pytest.raises(errors.WithdrawalStateError):
            move(made, State.PAID)
        approved = move(made, State.APPROVED)
        assert (approved.state, approved.approved_by) == ("approved", "command:second")

    def test_not_twice(self, earner: Earner):
        set_terms(approval_above_nanos=0)
        made = earner.cleared(20 * UNIT).withdraw(UNIT)
        first = move(made, State.APPROVED)
        assert move(made, State.APPROVED, actor="command:third").approved_by == first.approved_by


class TestEnds:
    def test_paid_leaves_for_the_bank_and_the_fee_for_the_platform(self, earner: Earner, owner):
        set_terms(fee_nanos=UNIT)
        made = earner.cleared(100 * UNIT).withdraw(60 * UNIT)
        paid = move(sent(made, owner), State.PAID)
        assert paid.paid_transaction_id is not None
        legs = Entry.objects.filter(transaction_id=paid.paid_transaction_id)
        amounts = legs.values_list("account__kind", "amount")
        assert set(amounts) == {
            ("withdrawal", -60 * UNIT),
            ("external", 59 * UNIT),
            ("platform_fee", UNIT),
        }
        assert on_its_way(earner) == 0

    @pytest.mark.parametrize("state", [State.FAILED, State.CANCELLED])
    def test_failed_and_cancelled_give_the_money_back_once(self, earner: Earner, state):
        made = earner.cleared(100 * UNIT).withdraw(60 * UNIT)
        assert [move(made, state).state for _ in range(3)] == [state] * 3
        assert earner.figures == (0, 100 * UNIT, 100 * UNIT)
        assert on_its_way(earner) == 0

    def test_what_a_bank_sends_back_after_it_was_paid_comes_back_whole(self, earner: Earner, owner):
        set_terms(fee_nanos=UNIT)
        made = earner.cleared(100 * UNIT).withdraw(60 * UNIT)
        move(sent(made, owner), State.PAID)
        back = move(made, State.FAILED, reason="account closed")
        assert (back.state, back.reason, back.paid_at is None) == (
            "failed",
            "account closed",
            False,
        )
        assert earner.now.available_nanos == 100 * UNIT

    def test_what_comes_back_pays_first_what_is_owed(self, earner: Earner):
        made = earner.cleared(100 * UNIT).withdraw(100 * UNIT)
        take_back(earner, 30 * UNIT)
        assert earner.now.owed_nanos == 30 * UNIT
        move(made, State.CANCELLED)
        assert (earner.now.owed_nanos, earner.now.available_nanos) == (0, 70 * UNIT)

    @pytest.mark.parametrize(
        ("first", "then"),
        [
            (State.CANCELLED, State.FAILED),
            (State.CANCELLED, State.APPROVED),
            (State.FAILED, State.PAID),
            (State.FAILED, State.CANCELLED),
        ],
    )
    def test_an_end_is_an_end(self, earner: Earner, first, then):
        made = earner.cleared(10 * UNIT).withdraw(10 * UNIT)
        move(made, first)
        with pytest.raises(errors.WithdrawalStateError):
            move(made, then)
        assert earner.now.cleared_nanos == 10 * UNIT

    def test_on_its_way_is_not_cancelled(self, earner: Earner, owner):
        made = sent(earner.cleared(10 * UNIT).withdraw(10 * UNIT), owner)
        with pytest.raises(errors.WithdrawalStateError, match="cannot be stopped"):
            requests.cancel(made, actor=ACTOR)
        assert earner.now.cleared_nanos == 0


def take_back(earner: Earner, nanos: int) -> None:
    why = Reason(actor="dev_1", reason="a lost dispute")
    earnings.take_back(earner.team, nanos, why, livemode=earner.livemode)


@pytest.mark.proves("F76")
class TestTogether:
    def test_withdrawn_twice_in_parallel_is_paid_once(self, earner: Earner):
        earner.cleared(100 * UNIT)
        outcomes = at_once([lambda: earner.withdraw(80 * UNIT)] * 8)
        assert sorted(outcomes) == ["InsufficientEarningsError"] * 7 + ["Withdrawal"]
        assert earner.figures == (0, 20 * UNIT, 20 * UNIT)

    def test_one_key_in_parallel_is_one_withdrawal(self, earner: Earner):
        earner.cleared(100 * UNIT)
        assert at_once([lambda: earner.withdraw(10 * UNIT, key="k")] * 8) == ["Withdrawal"] * 8
        assert earner.now.cleared_nanos == 90 * UNIT

    def test_a_dispute_lands_meanwhile(self, earner: Earner):
        earner.cleared(100 * UNIT)
        work = [lambda: earner.withdraw(60 * UNIT), lambda: take_back(earner, 60 * UNIT)] * 3
        at_once(work)
        now = earner.now
        rows = Withdrawal.objects.filter(team=earner.team)
        taken = sum(row.amount for row in rows)
        assert taken in (0, 60 * UNIT)
        assert now.cleared_nanos - now.owed_nanos == 100 * UNIT - 180 * UNIT - taken
        assert (now.cleared_nanos, now.available_nanos) == (0, 0)

    def test_a_changed_destination_waits(self, earner: Earner):
        set_terms(destination_delay_hours=48)
        earner.cleared(100 * UNIT)
        old = earner.team.destinations.get(is_active=True)
        earner.owner.execute(
            "UPDATE billing_destination SET created_at = now() - interval '3 days' WHERE id = %s",
            [old.pk],
        )
        now = clock.now()
        assert earner.withdraw(UNIT).pay_after < now + dt.timedelta(minutes=1)
        earner.bank("GB29NWBK60161331926819")
        late = earner.withdraw(UNIT)
        assert late.pay_after > now + dt.timedelta(hours=47)
        assert (late.destination.label, late.next_at) == ("GB29 … 6819", late.pay_after)


def at_once(work: list[Any]) -> list[str]:
    """What each came to: the name of what it answered or raised."""
    outcomes: list[str] = []

    def run(one: Any) -> None:
        try:
            outcomes.append(type(one()).__name__)
        except Exception as error:
            outcomes.append(type(error).__name__)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(one,)) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


class TestSchedule:
    MONDAY, FIRST = dt.date(2026, 11, 23), dt.date(2026, 12, 1)

    def test_a_week_is_asked_for_once(self, earner: Earner):
        earner.cleared(10 * UNIT)
        schedule(earner, "weekly")
        assert paying.request_scheduled(self.FIRST) == 0
        assert paying.request_scheduled(self.MONDAY) == 1
        earner.cleared(10 * UNIT)
        assert paying.request_scheduled(self.MONDAY) == 0
        assert [row.requested_by for row in earner.team.withdrawals.all()] == ["schedule"]

    def test_nothing_is_asked_for_below_the_minimum(self, earner: Earner):
        earner.cleared(UNIT // 2)
        schedule(earner, "monthly")
        assert paying.request_scheduled(self.FIRST) == 0


def schedule(earner: Earner, when: str) -> None:
    with transaction.atomic():
        row = destinations.active(earner.team, livemode=earner.livemode)
        assert row is not None
        destinations.set_schedule(row, when, actor=ACTOR)
