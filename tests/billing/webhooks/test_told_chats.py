"""Chats through the gate tell what happened to them, once; and nothing where nobody listens."""

import asyncio
from collections import Counter
from dataclasses import replace

import pytest
from asgiref.sync import sync_to_async

from billing.types import Progress
from billing.webhooks.models import Event
from paywalls.models import Paywall
from tests.billing.conftest import ask, bill, deposit
from tests.billing.test_reaper import lapse_and_reap


@pytest.fixture
def paywall(payer) -> Paywall:
    """The paywall that `subscribe` subscribes to is the payer's."""
    return Paywall.objects.get(pk=payer.paywall_id)


@pytest.fixture
def listened(payer, subscribe):
    subscribe("https://example.com/hook")
    return replace(payer, tell=True)


@sync_to_async
def told(payer) -> Counter[str]:
    """Types and how often, without what making the subscription told."""
    events = Event.objects.filter(paywall_id=payer.paywall_id).exclude(type="paywall.updated")
    types = events.values_list("type", flat=True)
    return Counter(name.removeprefix("paywall.") for name in types)


async def test_a_chat_alone(gate, listened):
    await deposit(gate, listened, 1_000)
    asked = ask(listened, 300)
    await gate.reserve(asked)
    await gate.settle(bill(asked, 200))
    assert await told(listened) == {
        "balance.deposit.created": 1,
        "proxy.request.started": 1,
        "usage.charge.deferred": 1,
        "usage.charge.created": 1,
        "proxy.request.completed": 1,
    }


async def test_chats_together_tell_each_once_refused_ones_too(gate, listened):
    await deposit(gate, listened, 100)
    asks = [ask(listened, 20) for _ in range(4)] + [ask(listened, 500)]
    await asyncio.gather(*(gate.reserve(each) for each in asks))
    await asyncio.gather(*(gate.settle(bill(each, 20)) for each in asks[:4]))
    assert await told(listened) == {
        "balance.deposit.created": 1,
        "proxy.request.started": 4,
        "usage.charge.deferred": 4,
        "usage.charge.created": 4,
        "proxy.request.completed": 4,
        "balance.depleted": 1,
        "request.blocked": 1,
    }


async def test_plain_batches_tell_too(gate, listened):
    await deposit(gate, listened, 1_000)
    asks = [ask(listened, 20) for _ in range(6)]
    await asyncio.gather(*(gate.reserve(each) for each in asks))
    await asyncio.gather(*(gate.settle(bill(each, 20)) for each in asks))
    heard = await told(listened)
    assert heard["proxy.request.started"] == heard["usage.charge.created"] == 6


async def test_what_a_lost_process_had_delivered_is_told(gate, listened, owner):
    await deposit(gate, listened, 1_000)
    asked = ask(listened, 300)
    await gate.reserve(asked)
    progress = Progress(charge_nanos=120, provider_cost_nanos=60, delivered=True, usage={})
    gate.track(asked.request_id, lambda: progress)
    await gate.renew()
    assert lapse_and_reap(owner, asked.request_id) == {asked.request_id}
    heard = await told(listened)
    assert heard["usage.charge.created"] == heard["proxy.request.failed"] == 1


async def test_a_paused_paywall_tells_of_what_it_blocks(gate, listened, paywall):
    await deposit(gate, listened, 100)
    await Paywall.objects.filter(pk=paywall.pk).aupdate(paused_at="2026-01-01T00:00:00Z")
    await gate.reserve(ask(listened, 20))
    assert (await told(listened))["proxy.request.blocked"] == 1


async def test_without_a_listener_nothing_is_told(gate, payer, subscribe):
    # It came after this process last looked.
    await sync_to_async(subscribe)("https://example.com/hook")
    await deposit(gate, payer, 100)
    asked = ask(payer, 20)
    await gate.reserve(asked)
    await gate.settle(bill(asked, 20))
    assert await told(payer) == {}
