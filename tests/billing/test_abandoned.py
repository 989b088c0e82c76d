"""Who leaves while a hold is being placed."""

import asyncio

from ledger.models import Hold
from tests.billing.conftest import ask, deposit
from tests.billing.test_locks import waiting


async def test_the_hold_is_released_at_once(gate, payer, owner, runtime):
    await deposit(gate, payer, 1_000)
    await gate.reserve(ask(payer, 10))
    asked = ask(payer, 400)
    with owner.transaction():
        owner.execute(
            "SELECT FROM ledger_account a JOIN paywalls_enduser u ON u.wallet_id = a.id"
            " WHERE u.paywall_id = %s FOR NO KEY UPDATE OF a",
            [payer.paywall_id],
        )
        leaving = asyncio.create_task(gate.reserve(asked))
        await waiting(runtime)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
    await gate._calls[False].reserve.drained()
    while gate._tasks:
        await asyncio.wait(gate._tasks)
    assert (await Hold.objects.aget(id=asked.request_id)).state == Hold.State.RELEASED
