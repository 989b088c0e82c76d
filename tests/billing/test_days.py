"""A paywall's day turns while requests run."""

from dataclasses import replace

from paywalls.decisions import Allowed, Limited
from tests.billing.conftest import ask, bill, deposit

YESTERDAY, TODAY = "Etc/GMT+12", "Etc/GMT-12"
"""Zones 24 hours apart: who moves from one to the other is a day further."""


async def test_what_was_held_yesterday_is_not_given_back_today(gate, payer):
    await deposit(gate, payer, 1_000)
    payer = replace(payer, user_caps={"spend_day": 100})
    early = ask(replace(payer, timezone=YESTERDAY), 80)
    assert isinstance(await gate.reserve(early), Allowed)
    today = replace(payer, timezone=TODAY)
    assert isinstance(await gate.reserve(ask(today, 60)), Allowed)
    await gate.settle(bill(early, 0, status="failed"))
    assert isinstance(await gate.reserve(ask(today, 50)), Limited)
