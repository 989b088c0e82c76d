"""The gate against a real Postgres: what may pass, what it costs, what happens twice."""

import asyncio
from dataclasses import replace

import pytest
from asgiref.sync import sync_to_async

from billing.types import Payer
from config.kit import clock, ids
from ledger.models import Account, Counter, Entry, Hold, Transaction
from paywalls.decisions import Allowed, Limited, NeedsTopUp, Refused
from paywalls.models import ApiKey, EndUser, Paywall
from tests.billing.conftest import ask, bill, deposit


@sync_to_async
def wallet(payer: Payer) -> Account:
    user = EndUser.objects.filter(
        paywall_id=payer.paywall_id, livemode=payer.livemode, external_id=payer.user
    )
    return Account.objects.get(id__in=user.values("wallet_id"))


class TestReserve:
    async def test_a_broke_user_needs_a_top_up_and_nothing_is_held(self, gate, payer):
        decision = await gate.reserve(ask(payer, 100))
        assert isinstance(decision, NeedsTopUp)
        assert decision.balance_nanos == 0
        assert not decision.debt

    async def test_money_is_held_and_the_rest_stays_free(self, gate, payer, reads):
        await deposit(gate, payer, 1_000)
        decision = await gate.reserve(ask(payer, 300))
        assert isinstance(decision, Allowed)
        assert decision.granted_nanos == 300
        assert decision.balance_nanos == 700
        assert await reads.balance(payer) == 700

    async def test_the_hold_shrinks_to_what_the_wallet_has_but_not_below_the_least(
        self, gate, payer
    ):
        await deposit(gate, payer, 1_000)
        shrunk = await gate.reserve(ask(payer, 5_000, 900))
        assert isinstance(shrunk, Allowed)
        assert shrunk.granted_nanos == 1_000
        assert isinstance(await gate.reserve(ask(payer, 5_000, 1)), NeedsTopUp)

    async def test_a_refusal_in_a_batch_does_not_refuse_its_neighbours(self, gate, payer):
        await deposit(gate, payer, 100)
        decisions = await asyncio.gather(
            gate.reserve(ask(payer, 60)),
            gate.reserve(ask(payer, 1_000)),
            gate.reserve(ask(payer, 10)),
            gate.reserve(ask(payer, 30)),
        )
        assert [type(d) for d in decisions] == [Allowed, NeedsTopUp, Allowed, Allowed]

    async def test_of_many_at_once_only_what_the_wallet_carries_passes(self, gate, payer):
        await deposit(gate, payer, 1_000)
        asks = [ask(payer, 100) for _ in range(200)]
        decisions = await asyncio.gather(*(gate.reserve(a) for a in asks))
        assert sum(isinstance(d, Allowed) for d in decisions) == 10
        account = await wallet(payer)
        assert (account.posted, account.held) == (1_000, 1_000)

    async def test_a_new_user_gets_the_trial_once_however_many_ask_at_once(self, gate, payer):
        payer = replace(payer, trial_nanos=500, trial_days=3)
        await asyncio.gather(*(gate.reserve(ask(payer, 100)) for _ in range(20)))
        account = await wallet(payer)
        assert (account.posted, account.held) == (500, 500)

    async def test_trial_requests_are_free_and_counted(self, gate, payer):
        payer = replace(payer, trial_requests=2)
        first, second = ask(payer, 100), ask(payer, 100)
        for one in (first, second):
            decision = await gate.reserve(one)
            assert isinstance(decision, Allowed)
            assert decision.trial
            assert (await gate.settle(bill(one, 70))).charged_nanos == 0
        assert isinstance(await gate.reserve(ask(payer, 100)), NeedsTopUp)

    async def test_a_failed_trial_request_is_given_back(self, gate, payer):
        payer = replace(payer, trial_requests=1)
        one = ask(payer, 100)
        await gate.reserve(one)
        await gate.settle(bill(one, 0, status="failed"))
        again = await gate.reserve(ask(payer, 100))
        assert isinstance(again, Allowed)
        assert again.trial

    async def test_a_revoked_key_is_refused_by_the_gate_itself(self, gate, payer):
        await deposit(gate, payer, 1_000)
        await ApiKey.objects.filter(id=payer.key_id).aupdate(revoked_at=clock.now())
        assert await gate.reserve(ask(payer, 1)) == Refused(code="invalid_api_key")

    @pytest.mark.parametrize(
        ("field", "code"), [("paused_at", "paywall_paused"), ("archived_at", "paywall_archived")]
    )
    async def test_a_closed_paywall_is_refused_also_in_a_batch(self, gate, payer, field, code):
        await deposit(gate, payer, 1_000)
        await Paywall.objects.filter(id=payer.paywall_id).aupdate(**{field: clock.now()})
        answers = await asyncio.gather(*(gate.reserve(ask(payer, 1)) for _ in range(3)))
        assert answers == [Refused(code=code)] * 3

    async def test_a_blocked_user_is_refused(self, gate, payer):
        await deposit(gate, payer, 1_000)
        await EndUser.objects.filter(paywall_id=payer.paywall_id).aupdate(blocked_at=clock.now())
        assert await gate.reserve(ask(payer, 1)) == Refused(code="user_blocked")

    async def test_the_same_user_of_another_paywall_or_of_test_has_another_wallet(
        self, gate, payer, reads
    ):
        await deposit(gate, payer, 1_000)
        assert await reads.balance(replace(payer, livemode=False)) == 0


class TestCaps:
    async def test_a_daily_cap_bounds_holds_and_charges_together(self, gate, payer):
        payer = replace(payer, user_caps={"spend_day": 100})
        await deposit(gate, payer, 10_000)
        first = ask(payer, 80)
        assert isinstance(await gate.reserve(first), Allowed)
        refused = await gate.reserve(ask(payer, 50))
        assert isinstance(refused, Limited)
        assert (refused.code, refused.subject, refused.limit) == ("spend_limit", "user", 100)
        assert 0 < refused.retry_after_s <= 86_400
        await gate.settle(bill(first, 30))
        assert isinstance(await gate.reserve(ask(payer, 50)), Allowed)

    async def test_caps_hold_exactly_under_concurrency(self, gate, payer):
        payer = replace(
            payer, user_caps={"spend_day": 1_000}, key_caps={"spend_month": 700}, paywall_caps={}
        )
        await deposit(gate, payer, 10_000)
        asks = [ask(payer, 100) for _ in range(40)]
        decisions = await asyncio.gather(*(gate.reserve(a) for a in asks))
        assert sum(isinstance(d, Allowed) for d in decisions) == 7

    async def test_concurrency_frees_when_a_request_ends(self, gate, payer):
        payer = replace(payer, paywall_caps={"concurrency": 1})
        await deposit(gate, payer, 1_000)
        first = ask(payer, 10)
        assert isinstance(await gate.reserve(first), Allowed)
        refused = await gate.reserve(ask(payer, 10))
        assert isinstance(refused, Limited)
        assert refused.code == "concurrency_limited"
        await gate.settle(bill(first, 0, status="failed"))
        assert isinstance(await gate.reserve(ask(payer, 10)), Allowed)

    async def test_requests_a_minute(self, gate, payer):
        payer = replace(payer, key_caps={"requests_minute": 3})
        await deposit(gate, payer, 1_000)
        decisions = [await gate.reserve(ask(payer, 1)) for _ in range(4)]
        assert [type(d) for d in decisions] == [Allowed, Allowed, Allowed, Limited]
        assert decisions[3].code == "rate_limited"
        assert 0 < decisions[3].retry_after_s <= 20

    async def test_requests_a_day_start_again_tomorrow(self, gate, payer, owner):
        payer = replace(payer, user_caps={"requests_day": 1})
        await deposit(gate, payer, 1_000)
        assert isinstance(await gate.reserve(ask(payer, 1)), Allowed)
        assert isinstance(await gate.reserve(ask(payer, 1)), Limited)
        user = await EndUser.objects.aget(paywall_id=payer.paywall_id)
        owner.execute("UPDATE ledger_counter SET day = day - 1 WHERE id = %s", [user.id])
        assert isinstance(await gate.reserve(ask(payer, 1)), Allowed)

    async def test_a_users_own_limits_replace_the_common_ones(self, gate, payer):
        payer = replace(payer, user_caps={"spend_day": 10})
        await deposit(gate, payer, 1_000)
        await EndUser.objects.filter(paywall_id=payer.paywall_id).aupdate(limits={"spend_day": 500})
        assert isinstance(await gate.reserve(ask(payer, 400)), Allowed)

    async def test_no_counter_is_kept_where_no_cap_is_set(self, gate, payer):
        await deposit(gate, payer, 1_000)
        await gate.reserve(ask(payer, 1))
        user = await EndUser.objects.aget(paywall_id=payer.paywall_id)
        ids_ = [user.id, payer.key_id, payer.paywall_id]
        assert not await Counter.objects.filter(id__in=ids_).aexists()


class TestSettle:
    async def test_a_charge_is_two_entries_and_frees_the_rest(self, gate, payer):
        await deposit(gate, payer, 1_000)
        asked = ask(payer, 300)
        await gate.reserve(asked)
        settled = await gate.settle(bill(asked, 120))
        assert (settled.charged_nanos, settled.balance_nanos, settled.late) == (120, 880, False)
        hold = await Hold.objects.aget(id=asked.request_id)
        assert (hold.state, hold.settled) == (Hold.State.SETTLED, 120)
        assert hold.transaction_id is not None
        amounts = [e.amount async for e in Entry.objects.filter(transaction_id=hold.transaction_id)]
        assert sorted(amounts) == [-120, 120]

    async def test_never_more_than_the_hold(self, gate, payer):
        await deposit(gate, payer, 1_000)
        asked = ask(payer, 300)
        await gate.reserve(asked)
        assert (await gate.settle(bill(asked, 5_000))).charged_nanos == 300

    async def test_nothing_delivered_nothing_charged(self, gate, payer, reads):
        await deposit(gate, payer, 1_000)
        asked = ask(payer, 300)
        await gate.reserve(asked)
        assert (await gate.settle(bill(asked, 0, status="failed"))).charged_nanos == 0
        assert await reads.balance(payer) == 1_000
        assert not await Transaction.objects.filter(request_id=asked.request_id).aexists()

    async def test_many_at_once_on_one_wallet_keep_the_chain_of_balances(self, gate, payer):
        await deposit(gate, payer, 100_000)
        asks = [ask(payer, 300) for _ in range(60)]
        await asyncio.gather(*(gate.reserve(a) for a in asks))
        done = await asyncio.gather(*(gate.settle(bill(a, n + 1)) for n, a in enumerate(asks)))
        assert sorted(s.charged_nanos for s in done) == list(range(1, 61))
        account = await wallet(payer)
        assert (account.posted, account.held) == (100_000 - 60 * 61 // 2, 0)
        entries = [
            e async for e in Entry.objects.filter(account=account).order_by("account_version")
        ]
        balance = 0
        for version, entry in enumerate(entries, start=1):
            balance += entry.amount
            assert (entry.account_version, entry.balance_after) == (version, balance)

    async def test_a_settlement_that_comes_twice_is_booked_once(self, gate, payer, database):
        await deposit(gate, payer, 1_000)
        asked = ask(payer, 300)
        await gate.reserve(asked)
        held = gate._open[asked.request_id]
        first = await gate.settle(bill(asked, 120))
        gate._open[asked.request_id] = held
        again = await gate.settle(bill(asked, 120))
        assert (again.charged_nanos, again.late) == (first.charged_nanos, False)
        gate._open[asked.request_id] = replace_transaction(held)
        late = await gate.settle(bill(asked, 200))
        assert late.late
        assert (await wallet(payer)).posted == 880

    async def test_the_day_is_summed_exactly(self, gate, payer, reads):
        await deposit(gate, payer, 1_000)
        for charge in (10, 20):
            asked = ask(payer, 300)
            await gate.reserve(asked)
            await gate.settle(bill(asked, charge))
        rows = await reads.usage(payer, "day")
        assert [(r.requests, r.prompt_tokens, r.charged_nanos) for r in rows] == [(2, 20, 30)]

    async def test_a_request_is_running_then_completed(self, gate, payer, reads):
        await deposit(gate, payer, 1_000)
        asked = ask(payer, 300)
        await gate.reserve(asked)
        running = await reads.request(payer.paywall_id, asked.request_id, livemode=True)
        assert running is not None
        assert (running.status, running.charged_nanos) == ("running", 0)
        await gate.settle(bill(asked, 120))
        done = await reads.request(payer.paywall_id, asked.request_id, livemode=True)
        assert done is not None
        assert (done.status, done.charged_nanos) == ("completed", 120)
        assert await reads.request(ids.uuid7(), asked.request_id, livemode=True) is None

    async def test_a_request_is_shown_only_to_its_user_where_one_is_named(self, gate, payer, reads):
        await deposit(gate, payer, 1_000)
        asked = ask(payer, 300)
        await gate.reserve(asked)
        of = (payer.paywall_id, asked.request_id)
        for status in ("running", "completed"):
            view = await reads.request(*of, livemode=True, user=payer.user)
            assert view is not None
            assert view.status == status
            assert await reads.request(*of, livemode=True, user="another") is None
            if status == "running":
                await gate.settle(bill(asked, 120))


def replace_transaction(held):
    return replace(held, transaction_id=ids.uuid7())
