"""One request's nonsense or trouble stays its own."""

import asyncio
from dataclasses import replace

import pytest
from asgiref.sync import sync_to_async

from billing.gate import Gate
from billing.types import Payer, Progress
from config.kit import clock, ids
from config.kit.errors import InvalidRequestError
from config.kit.money import AMOUNT_NANOS_MAX
from ledger.models import Hold
from paywalls.decisions import Allowed, Limited, NeedsTopUp, Refused
from paywalls.models import ApiKey, Paywall
from tests.billing.conftest import TERMS, ask, bill, deposit
from tests.billing.test_reaper import lapse_and_reap
from tests.support.patience import PATIENCE_S

POOL = 8
"""More than the test's pool has connections."""

HUGE = 2**70
"""More than JSON's numbers and the database's have room for."""


def progress(**more: int) -> Progress:
    fields = {"charge_nanos": 1, "provider_cost_nanos": 1} | more
    return Progress(delivered=True, usage={}, **fields)


class TestAbsurdAmounts:
    async def test_a_bill_is_bounded_and_spares_its_neighbours(self, gate, payer, owner):
        await deposit(gate, payer, 1_000)
        asks = [ask(payer, 10) for _ in range(3)]
        for each in asks:
            await gate.reserve(each)
        bills = [bill(asks[0], 5), bill(asks[1], HUGE, provider_cost_nanos=HUGE), bill(asks[2], 5)]
        settled = await asyncio.gather(*map(gate.settle, bills))
        assert [each.charged_nanos for each in settled] == [5, 10, 5]
        rest, cost = owner.execute(
            "SELECT written_off, provider_cost FROM billing_request WHERE id = %s",
            [asks[1].request_id],
        ).fetchone()
        assert (rest, cost) == (AMOUNT_NANOS_MAX - 10, AMOUNT_NANOS_MAX)

    async def test_a_checkpoint_is_bounded(self, gate, payer, owner):
        await deposit(gate, payer, 1_000)
        asked = ask(payer, 10)
        await gate.reserve(asked)
        gate.track(asked.request_id, lambda: progress(charge_nanos=HUGE, provider_cost_nanos=HUGE))
        await gate.renew()
        assert lapse_and_reap(owner, asked.request_id) == {asked.request_id}
        assert (await Hold.objects.aget(id=asked.request_id)).settled == 10


async def test_a_deposit_that_no_wallet_has_room_for_is_refused(gate, payer, reads):
    for _ in range(9):
        await deposit(gate, payer, AMOUNT_NANOS_MAX)
    with pytest.raises(InvalidRequestError):
        await deposit(gate, payer, AMOUNT_NANOS_MAX)
    assert await reads.balance(payer) == 9 * AMOUNT_NANOS_MAX


class TestHeartbeat:
    async def test_goes_on_after_a_checkpoint_that_cannot_be_taken(self, database, payer, owner):
        gate = Gate(database, replace(TERMS, heartbeat_s=0.01))
        await gate.open()
        try:
            await deposit(gate, payer, 1_000)
            asked = ask(payer, 10)
            await gate.reserve(asked)
            failed = asyncio.Event()

            def fail() -> Progress:
                failed.set()
                raise ValueError("a bug")

            gate.track(asked.request_id, fail)
            await failed.wait()
            gate.track(asked.request_id, progress)
            async with asyncio.timeout(PATIENCE_S):
                while not (await Hold.objects.aget(id=asked.request_id)).progress:  # noqa: ASYNC110
                    await asyncio.sleep(0)
        finally:
            await gate.close()

    async def test_does_not_wait_for_the_pool(self, gate, payer, owner):
        await deposit(gate, payer, 1_000)
        with owner.transaction():
            owner.execute(
                "SELECT FROM ledger_account a JOIN paywalls_enduser u ON u.wallet_id = a.id"
                " WHERE u.paywall_id = %s FOR NO KEY UPDATE OF a",
                [payer.paywall_id],
            )
            deposits = [asyncio.ensure_future(deposit(gate, payer, 1)) for _ in range(POOL)]
            await asyncio.sleep(0)
            async with asyncio.timeout(PATIENCE_S):
                await gate.renew()
            assert not any(each.done() for each in deposits), "the pool was never full"
        await asyncio.gather(*deposits)

    async def test_passes_over_a_hold_that_is_being_ended(self, gate, payer, owner):
        await deposit(gate, payer, 1_000)
        ending, running = ask(payer, 10), ask(payer, 10)
        for each in (ending, running):
            await gate.reserve(each)
            gate.track(each.request_id, progress)
        with owner.transaction():
            owner.execute(
                "SELECT FROM ledger_hold WHERE id = %s FOR NO KEY UPDATE", [ending.request_id]
            )
            async with asyncio.timeout(PATIENCE_S):
                await gate.renew()
        kept = {
            each.id: each.progress
            async for each in Hold.objects.filter(id__in=[ending.request_id, running.request_id])
        }
        assert kept[ending.request_id] is None
        assert kept[running.request_id] is not None


async def test_a_hold_that_cannot_be_ended_does_not_stop_the_reaper(gate, payer, owner):
    await deposit(gate, payer, 1_000)
    broken, sound = ask(payer, 10), ask(payer, 10)
    for each in (broken, sound):
        await gate.reserve(each)
    owner.execute(
        "UPDATE ledger_hold SET progress = %s WHERE id = %s",
        ['{"delivered": true, "charge": "much"}', broken.request_id],
    )
    ended = lapse_and_reap(owner, broken.request_id, sound.request_id)
    owner.execute("UPDATE ledger_hold SET progress = NULL WHERE id = %s", [broken.request_id])
    assert ended == {sound.request_id}
    assert lapse_and_reap(owner, broken.request_id) == {broken.request_id}


async def test_test_traffic_does_not_use_up_the_paywalls_live_limits(gate, payer):
    live = replace(payer, paywall_caps={"requests_day": 1})
    test = replace(live, livemode=False)
    for each in (live, test):
        await deposit(gate, each, 100)
        assert isinstance(await gate.reserve(ask(each, 10)), Allowed)
        assert isinstance(await gate.reserve(ask(each, 10)), Limited)


async def test_trial_requests_end_with_their_days(gate, payer, owner):
    trial = replace(payer, trial_requests=5, trial_days=2)
    first = await gate.reserve(ask(trial, 10))
    assert isinstance(first, Allowed)
    assert first.trial
    owner.execute(
        "UPDATE paywalls_enduser SET created_at = now() - interval '3 days' WHERE id = %s",
        [first.user_id],
    )
    assert isinstance(await gate.reserve(ask(trial, 10)), NeedsTopUp)


class TestClosedPaywalls:
    async def close(self, payer: Payer, field: str) -> None:
        await sync_to_async(Paywall.objects.filter(id=payer.paywall_id).update)(
            **{field: clock.now()}
        )

    async def try_deposit(self, gate: Gate, payer: Payer) -> object:
        return await gate.deposit(
            payer,
            transaction_id=ids.uuid7(),
            amount_nanos=5,
            expires_at=None,
            key=None,
            fingerprint=None,
            metadata=None,
        )

    async def test_a_paused_one_still_takes_money_in(self, gate, payer, reads):
        await self.close(payer, "paused_at")
        assert not isinstance(await self.try_deposit(gate, payer), Refused)
        assert await reads.balance(payer) == 5

    async def test_a_paused_one_takes_none_by_a_revoked_key(self, gate, payer, reads):
        await self.close(payer, "paused_at")
        await ApiKey.objects.filter(id=payer.key_id).aupdate(revoked_at=clock.now())
        assert await self.try_deposit(gate, payer) == Refused(code="invalid_api_key")
        assert await reads.balance(payer) == 0

    async def test_an_archived_one_does_not(self, gate, payer, reads):
        await self.close(payer, "archived_at")
        assert await self.try_deposit(gate, payer) == Refused(code="paywall_archived")
        assert await reads.balance(payer) == 0
