"""Manual charges, deposits and Idempotency-Keys through the gate."""

import asyncio
import datetime as dt
from dataclasses import replace
from typing import Any

from asgiref.sync import sync_to_async

from billing.gate import Gate
from billing.types import Movement, Payer
from config.kit import clock, ids
from ledger.models import Account
from paywalls.decisions import Allowed, NeedsTopUp, Repeated
from paywalls.models import EndUser
from tests.billing.conftest import ask, bill, deposit


@sync_to_async
def wallet(payer: Payer) -> Account:
    user = EndUser.objects.filter(
        paywall_id=payer.paywall_id, livemode=payer.livemode, external_id=payer.user
    )
    return Account.objects.get(id__in=user.values("wallet_id"))


async def pay(
    gate: Gate, payer: Payer, amount: int, key: bytes | None = None, print_: bytes = b"p"
):
    return await gate.charge(
        payer,
        transaction_id=ids.uuid7(),
        amount_nanos=amount,
        key=key,
        fingerprint=print_,
        metadata=None,
    )


class TestIdempotency:
    async def test_a_chat_key_is_in_progress_then_completed(self, gate, payer):
        await deposit(gate, payer, 1_000)
        keyed: dict[str, Any] = {"idempotency_key": b"k" * 32, "fingerprint": b"f" * 32}
        first = ask(payer, 100, **keyed)
        assert isinstance(await gate.reserve(first), Allowed)
        assert await gate.reserve(ask(payer, 100, **keyed)) == Repeated(
            state="in_progress", request_id=first.request_id
        )
        await gate.settle(bill(first, 40))
        assert await gate.reserve(ask(payer, 100, **keyed)) == Repeated(
            state="completed", request_id=first.request_id, charged_nanos=40
        )
        other = ask(payer, 100, idempotency_key=b"k" * 32, fingerprint=b"g" * 32)
        assert await gate.reserve(other) == Repeated(state="mismatch")

    async def test_a_failed_chat_may_run_again_under_its_key(self, gate, payer):
        await deposit(gate, payer, 1_000)
        keyed: dict[str, Any] = {"idempotency_key": b"k" * 32, "fingerprint": b"f" * 32}
        first = ask(payer, 100, **keyed)
        await gate.reserve(first)
        await gate.settle(bill(first, 0, status="failed"))
        assert isinstance(await gate.reserve(ask(payer, 100, **keyed)), Allowed)

    async def test_a_chat_that_cost_nothing_is_remembered_too(self, gate, payer):
        await deposit(gate, payer, 1_000)
        keyed: dict[str, Any] = {"idempotency_key": b"k" * 32, "fingerprint": b"f" * 32}
        first = ask(payer, 0, **keyed)
        await gate.reserve(first)
        await gate.settle(bill(first, 0))
        assert await gate.reserve(ask(payer, 0, **keyed)) == Repeated(
            state="completed", request_id=first.request_id
        )

    async def test_a_refused_chat_is_not_remembered(self, gate, payer):
        keyed: dict[str, Any] = {"idempotency_key": b"k" * 32, "fingerprint": b"f" * 32}
        assert isinstance(await gate.reserve(ask(payer, 100, **keyed)), NeedsTopUp)
        await deposit(gate, payer, 1_000)
        assert isinstance(await gate.reserve(ask(payer, 100, **keyed)), Allowed)

    async def test_fifty_at_once_under_one_key_reach_one_hold(self, gate, payer):
        await deposit(gate, payer, 100_000)
        keyed: dict[str, Any] = {"idempotency_key": b"k" * 32, "fingerprint": b"f" * 32}
        decisions = await asyncio.gather(
            *(gate.reserve(ask(payer, 10, **keyed)) for _ in range(50))
        )
        assert sum(isinstance(d, Allowed) for d in decisions) == 1
        assert all(d.state == "in_progress" for d in decisions if isinstance(d, Repeated))


class TestCharge:
    async def test_two_hundred_charges_of_one_on_a_wallet_of_ten(self, gate, payer):
        await deposit(gate, payer, 10)
        answers = await asyncio.gather(*(pay(gate, payer, 1) for _ in range(200)))
        assert sum(isinstance(a, Movement) for a in answers) == 10
        assert (await wallet(payer)).posted == 0

    async def test_fifty_with_one_key_book_once(self, gate, payer):
        await deposit(gate, payer, 100)
        answers = await asyncio.gather(*(pay(gate, payer, 7, b"key") for _ in range(50)))
        assert all(isinstance(a, Movement) for a in answers)
        assert len({a.transaction_id for a in answers}) == 1
        assert sum(not a.replayed for a in answers) == 1
        assert (await wallet(payer)).posted == 93

    async def test_the_same_key_for_another_charge_is_a_mismatch(self, gate, payer):
        await deposit(gate, payer, 100)
        await pay(gate, payer, 7, b"key")
        assert await pay(gate, payer, 8, b"key", b"q") == Repeated(state="mismatch")

    async def test_a_refused_charge_is_not_remembered(self, gate, payer):
        assert isinstance(await pay(gate, payer, 7, b"key"), NeedsTopUp)
        await deposit(gate, payer, 100)
        assert isinstance(await pay(gate, payer, 7, b"key"), Movement)


class TestDeposit:
    async def test_a_deposit_with_a_key_is_booked_once_for_ever(self, gate, payer, reads):
        async def once(print_: bytes = b"p"):
            return await gate.deposit(
                payer,
                transaction_id=ids.uuid7(),
                amount_nanos=50,
                expires_at=None,
                key=b"invoice",
                fingerprint=print_,
                metadata={"invoice": "in_1"},
            )

        first = await once()
        again = await once()
        assert (again.transaction_id, again.replayed) == (first.transaction_id, True)
        assert await reads.balance(payer) == 50
        assert await once(b"q") == Repeated(state="mismatch")

    async def test_expiring_money_is_spent_first_and_lapses(self, gate, payer, reads, owner):
        await deposit(gate, payer, 100)
        await gate.deposit(
            payer,
            transaction_id=ids.uuid7(),
            amount_nanos=60,
            expires_at=clock.now() + dt.timedelta(days=1),
            key=None,
            fingerprint=None,
            metadata=None,
        )
        await pay(gate, payer, 20)
        account = await wallet(payer)
        owner.execute(
            "UPDATE ledger_lot SET expires_at = now() - interval '1 s' WHERE account_id = %s",
            [account.id],
        )
        assert await reads.balance(payer) == 100
        assert isinstance(await gate.reserve(ask(payer, 101)), NeedsTopUp)
        assert (await wallet(payer)).posted == 100

    async def test_an_unseen_user_has_what_the_trial_would_give_and_is_not_made(self, payer, reads):
        assert await reads.balance(replace(payer, trial_nanos=77)) == 77
        assert not await EndUser.objects.filter(paywall_id=payer.paywall_id).aexists()
