"""Shared mode at the gate: grants, caps, and whose money it is."""

import asyncio
from dataclasses import replace

import pytest
from asgiref.sync import sync_to_async
from django.core.management import CommandError, call_command
from django.db import transaction

from billing import credit, movements
from billing.types import Movement
from config.kit import clock, ids
from config.kit.errors import InvalidRequestError
from ledger.models import Account, Counter, Entry, Hold
from paywalls import grants, users
from paywalls.decisions import Allowed, Limited, NeedsGrant, NeedsTopUp, Repeated
from paywalls.models import EndUser, Grant, GrantRequest, Paywall
from tests.billing.conftest import ask, bill
from tests.factories import EndUserFactory
from tests.support.shared import WHY, allow, give, make_person, shared_payer


def stand(nanos=1_000, cap=500, **terms):
    """A payer whose user may spend of a person's wallet."""
    person, payer = make_person(), shared_payer()
    give(person, nanos)
    return person, payer, allow(person, payer, cap, **terms)


stand_async = sync_to_async(stand)


class TestWithoutAGrant:
    async def test_the_person_is_asked_once(self, gate):
        payer = await sync_to_async(shared_payer)()
        first = await gate.reserve(ask(payer, 10))
        again = await gate.reserve(ask(payer, 10))
        assert first == again
        assert isinstance(first, NeedsGrant)
        assert not first.cap_reached
        user = await EndUser.objects.aget(id=first.user_id)
        assert user.wallet_id is None
        assert await GrantRequest.objects.filter(end_user=user).acount() == 1

    async def test_a_closed_paywall_says_so_first(self, gate):
        payer = await sync_to_async(shared_payer)()
        await sync_to_async(_pause)(payer)
        decision = await gate.reserve(ask(payer, 10))
        assert decision.code == "paywall_paused"


class TestReserve:
    async def test_the_persons_wallet_pays(self, gate):
        person, payer, grant = await stand_async()
        asked = ask(payer, 100)
        assert isinstance(await gate.reserve(asked), Allowed)
        hold = await Hold.objects.select_related("account").aget(id=asked.request_id)
        assert (hold.account.owner, hold.amount) == (person.pk, 100)
        counter = await Counter.objects.aget(id=grant.pk)
        assert (counter.month_spent, counter.total_spent) == (100, 100)
        settled = await gate.settle(bill(asked, 60))
        assert settled.charged_nanos == 60
        await counter.arefresh_from_db()
        assert (counter.month_spent, counter.week_spent, counter.total_spent) == (60, 60, 60)

    async def test_the_cap_ends_it(self, gate):
        _, payer, _ = await stand_async(cap=150)
        assert isinstance(await gate.reserve(ask(payer, 100)), Allowed)
        partial = await gate.reserve(ask(payer, 100, 10))
        assert partial.granted_nanos == 50
        decision = await gate.reserve(ask(payer, 100, 10))
        assert isinstance(decision, NeedsGrant)
        assert decision.cap_reached

    @pytest.mark.parametrize("period", ["day", "week", "month", "total"])
    async def test_every_period_counts(self, gate, period):
        _, payer, _ = await stand_async(cap=100, cap_period=period)
        assert isinstance(await gate.reserve(ask(payer, 80)), Allowed)
        decision = await gate.reserve(ask(payer, 30))
        assert isinstance(decision, NeedsGrant)
        assert decision.cap_reached

    async def test_one_request_has_a_most(self, gate):
        _, payer, _ = await stand_async(request_most_nanos=40)
        assert (await gate.reserve(ask(payer, 100, 10))).granted_nanos == 40
        decision = await gate.reserve(ask(payer, 100, 50))
        assert isinstance(decision, NeedsGrant)
        assert decision.cap_reached

    async def test_an_empty_wallet_asks_for_money(self, gate):
        _, payer, _ = await stand_async(nanos=50)
        decision = await gate.reserve(ask(payer, 100))
        assert isinstance(decision, NeedsTopUp)
        assert decision.balance_nanos == 50

    async def test_the_developers_limits_stay_limits(self, gate):
        _, payer, _ = await stand_async()
        decision = await gate.reserve(ask(replace(payer, user_caps={"spend_day": 50}), 100))
        assert isinstance(decision, Limited)
        assert decision.subject == "user"

    async def test_a_key_cannot_name_a_default_paywall_shared(self, gate, payer):
        with pytest.raises(AssertionError):
            await gate.reserve(ask(replace(payer, shared=True), 1))

    async def test_test_money_and_live_money_never_meet(self, gate):
        person, payer, _ = await stand_async()
        tests = replace(payer, livemode=False)
        assert isinstance(await gate.reserve(ask(tests, 10)), NeedsGrant)
        await sync_to_async(allow)(person, tests)
        assert isinstance(await gate.reserve(ask(tests, 10)), NeedsTopUp)
        await sync_to_async(give)(person, 77, livemode=False)
        decision = await gate.reserve(ask(tests, 10))
        assert decision.balance_nanos == 67

    async def test_a_key_for_repeats_is_claimed_once(self, gate):
        _, payer, _ = await stand_async()
        key = {"idempotency_key": b"k" * 32, "fingerprint": b"f" * 32}
        first = ask(payer, 10, **key)
        assert isinstance(await gate.reserve(first), Allowed)
        again = await gate.reserve(ask(payer, 10, **key))
        assert isinstance(again, Repeated)
        assert again.state == "in_progress"
        await gate.settle(bill(first, 7))
        done = await gate.reserve(ask(payer, 10, **key))
        assert (done.state, done.charged_nanos) == ("completed", 7)

    async def test_a_lost_answer_is_found_again(self, gate):
        _, payer, grant = await stand_async()
        asked = ask(payer, 10)
        first = await gate.reserve(asked)
        again = await gate.reserve(asked)
        assert (again.granted_nanos, again.user_id) == (first.granted_nanos, first.user_id)
        assert (await Counter.objects.aget(id=grant.pk)).open == 1

    async def test_nobody_tries_for_free(self, gate):
        payer = await sync_to_async(shared_payer)(trial_requests=5, trial_nanos=5_000)
        assert isinstance(await gate.reserve(ask(payer, 10)), NeedsGrant)
        person = await sync_to_async(make_person)()
        await sync_to_async(allow)(person, payer)
        assert isinstance(await gate.reserve(ask(payer, 10)), NeedsTopUp)


class TestWithdrawing:
    async def test_what_runs_keeps_its_hold_and_the_next_is_refused(self, gate):
        person, payer, grant = await stand_async()
        asked = ask(payer, 100)
        assert isinstance(await gate.reserve(asked), Allowed)
        await sync_to_async(_revoke)(grant, person)
        assert isinstance(await gate.reserve(ask(payer, 100)), NeedsGrant)
        assert (await gate.settle(bill(asked, 90))).charged_nanos == 90
        wallet = await Account.objects.aget(kind="wallet", owner=person.pk)
        assert (wallet.posted, wallet.held) == (910, 0)

    async def test_paused_waits_and_goes_on(self, gate):
        person, payer, grant = await stand_async()
        await sync_to_async(_change)(grants.pause, grant, person)
        assert isinstance(await gate.reserve(ask(payer, 10)), NeedsGrant)
        await sync_to_async(_change)(grants.resume, grant, person)
        assert isinstance(await gate.reserve(ask(payer, 10)), Allowed)

    async def test_it_ends_by_the_databases_clock(self, gate, owner):
        _, payer, grant = await stand_async()
        owner.execute(
            "UPDATE paywalls_grant SET ends_at = clock_timestamp() WHERE id = %s", [grant.pk]
        )
        assert isinstance(await gate.reserve(ask(payer, 10)), NeedsGrant)


class TestBatches:
    async def test_what_fits_goes_together(self, gate):
        person, payer, _ = await stand_async(nanos=1_000, cap=1_000)
        other = await sync_to_async(shared_payer)()
        await sync_to_async(allow)(person, other, 100)
        asks = [ask(payer, 10), *(ask(each, 10) for each in (payer, other) * 5)]
        answers = await gather(gate.reserve(each) for each in asks)
        assert all(isinstance(answer, Allowed) for answer in answers)
        await gather(gate.settle(bill(each, 7)) for each in asks)
        wallet = await Account.objects.aget(kind="wallet", owner=person.pk)
        assert (wallet.posted, wallet.held, wallet.version) == (1_000 - 77, 0, 12)

    async def test_a_refused_neighbour_refuses_nobody(self, gate):
        _, payer, _ = await stand_async(nanos=1_000, cap=100)
        assert isinstance(await gate.reserve(ask(payer, 1)), Allowed)
        answers = await gather(gate.reserve(ask(payer, want)) for want in (1_000, 10, 90, 80))
        assert [isinstance(answer, Allowed) for answer in answers] == [False, True, False, True]


class TestCharge:
    async def test_all_or_nothing_once(self, gate):
        _, payer, _ = await stand_async(cap=100)
        first = await _charge(gate, payer, 60, key=b"k" * 32)
        again = await _charge(gate, payer, 60, key=b"k" * 32)
        assert isinstance(first, Movement)
        assert not first.replayed
        assert again.replayed
        assert again.transaction_id == first.transaction_id
        refused = await _charge(gate, payer, 60)
        assert isinstance(refused, NeedsGrant)
        assert refused.cap_reached

    async def test_without_a_grant(self, gate):
        payer = await sync_to_async(shared_payer)()
        assert isinstance(await _charge(gate, payer, 1), NeedsGrant)
        assert not await Entry.objects.filter(account__owner=payer.paywall_id).aexists()


class TestHands:
    @pytest.mark.parametrize("act", [movements.deposit, movements.bonus, movements.adjust])
    def test_no_developer_gives(self, act):
        person, payer, _ = stand()
        paywall = Paywall.objects.get(pk=payer.paywall_id)
        with pytest.raises(InvalidRequestError):
            act(paywall, payer.user, 5, WHY)
        assert Account.objects.get(kind="wallet", owner=person.pk).posted == 1_000

    def test_or_takes(self):
        person, payer, _ = stand()
        paywall = Paywall.objects.get(pk=payer.paywall_id)
        with pytest.raises(InvalidRequestError):
            movements.adjust(paywall, payer.user, -5, WHY)
        with pytest.raises(InvalidRequestError):
            credit.set_line(paywall, payer.user, 5, livemode=True, actor="tests")
        assert Account.objects.get(kind="wallet", owner=person.pk).floor == 0

    def test_or_shares_or_sees_it(self):
        _, payer, grant = stand()
        other = EndUserFactory.create(paywall=grant.paywall)
        with pytest.raises(InvalidRequestError), transaction.atomic():
            users.share_wallet(other, grant.end_user, actor="tests")
        with pytest.raises(CommandError, match="people"):
            call_command("statement", grant.paywall.public_id, payer.user)


async def _charge(gate, payer, nanos, key=None):
    return await gate.charge(
        payer,
        transaction_id=ids.uuid7(),
        amount_nanos=nanos,
        key=key,
        fingerprint=key,
        metadata=None,
    )


async def gather(calls):
    return await asyncio.gather(*calls)


@transaction.atomic
def _revoke(grant: Grant, person) -> None:
    grants.revoke(grant, actor=person.public_id)


@transaction.atomic
def _change(action, grant: Grant, person) -> None:
    action(grant, person)


def _pause(payer) -> None:
    Paywall.objects.filter(pk=payer.paywall_id).update(paused_at=clock.now())
