"""A batch is as careful as one call, and keeps its neighbours' errors out."""

import asyncio

from asgiref.sync import sync_to_async
from django.db import transaction

from billing import credit, movements
from billing.gate import Gate
from billing.movements import Reason
from billing.types import Payer
from ledger.models import Lot
from paywalls.decisions import Allowed, Decision, NeedsTopUp
from paywalls.models import EndUser, Paywall
from tests.billing.conftest import ask, deposit

WHY = Reason(actor="dev_1", reason="because")
MANY = 5


async def reserve_at_once(gate: Gate, payer: Payer, nanos: int) -> list[Decision]:
    """One goes alone, the others in one batch."""
    return await asyncio.gather(*(gate.reserve(ask(payer, nanos)) for _ in range(MANY)))


@sync_to_async
def owe_on_a_credit_line(payer: Payer) -> None:
    """So that there is something to spend, and a debt."""
    paywall = Paywall.objects.get(id=payer.paywall_id)
    movements.adjust(paywall, payer.user, -10, WHY)
    with transaction.atomic():
        credit.set_line(paywall, payer.user, 100, livemode=True, actor="dev_1")


async def test_one_that_the_wallet_cannot_carry_is_no_error(gate, payer, caplog):
    await deposit(gate, payer, 30)
    decisions = await reserve_at_once(gate, payer, 10)
    assert sum(isinstance(decision, Allowed) for decision in decisions) == 3
    assert "gate.batch_failed" not in caplog.text


async def test_what_is_spent_first_is_held_first(gate, payer):
    await deposit(gate, payer, 100)
    paywall = await Paywall.objects.aget(id=payer.paywall_id)
    await sync_to_async(movements.bonus)(paywall, payer.user, 40, WHY)
    await reserve_at_once(gate, payer, 10)
    user = await EndUser.objects.aget(paywall=paywall)
    assert (await Lot.objects.aget(account_id=user.wallet_id)).held == 40


async def test_a_debt_stops_all_of_them_whatever_the_credit_line(gate, payer):
    await owe_on_a_credit_line(payer)
    for decision in await reserve_at_once(gate, payer, 10):
        assert isinstance(decision, NeedsTopUp)
        assert decision.debt
