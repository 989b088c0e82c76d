"""Manual charges on what was closed since a process last looked."""

import pytest

from billing.gate import Gate
from billing.types import Payer
from config.kit import clock, ids
from paywalls.decisions import Refused
from paywalls.models import ApiKey, Paywall
from tests.billing.conftest import deposit


async def charge(gate: Gate, payer: Payer) -> object:
    return await gate.charge(
        payer,
        transaction_id=ids.uuid7(),
        amount_nanos=1,
        key=None,
        fingerprint=None,
        metadata=None,
    )


async def test_a_revoked_key_charges_nothing(gate, payer, reads):
    await deposit(gate, payer, 10)
    await ApiKey.objects.filter(id=payer.key_id).aupdate(revoked_at=clock.now())
    assert await charge(gate, payer) == Refused(code="invalid_api_key")
    assert await reads.balance(payer) == 10


@pytest.mark.parametrize(
    ("field", "code"), [("paused_at", "paywall_paused"), ("archived_at", "paywall_archived")]
)
async def test_nothing_is_charged_on_a_closed_paywall(gate, payer, reads, field, code):
    await deposit(gate, payer, 10)
    await Paywall.objects.filter(id=payer.paywall_id).aupdate(**{field: clock.now()})
    assert await charge(gate, payer) == Refused(code=code)
    assert await reads.balance(payer) == 10
