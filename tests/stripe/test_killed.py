"""The worker dies within Stripe's tasks, or does them twice: a payment is credited once."""

import datetime as dt
from functools import partial
from typing import Any

import pytest
import redis
from asgiref.sync import sync_to_async

from billing import tasks
from billing.stripe.models import InboxEvent
from config.kit import clock
from tests.stripe.till import UNIT, Till
from tests.support.worker import (
    Work,
    killed_after_its_commit,
    killed_before_its_commit,
    twice_at_once,
)

LONG_AGO = dt.timedelta(hours=1)


def let_leases_end(till: Till) -> None:
    waiting = InboxEvent.objects.filter(account=till.account, state=InboxEvent.State.RECEIVED)
    waiting.update(next_at=clock.now() - LONG_AGO)


def is_credited(till: Till) -> bool:
    """Once, or not at all."""
    credited = len(till.topups())
    assert credited <= 1
    assert not credited or till.posted == 10 * UNIT
    return bool(credited)


@pytest.fixture(params=["process_stripe_events", "reconcile_stripe"])
def work(request: pytest.FixtureRequest, till: Till, settings: Any) -> Work:
    """A payment that is not credited, of which Stripe has told once or not at all; no queue."""
    with redis.Redis.from_url(settings.REDIS_URL) as valkey:
        valkey.flushdb()
    others = InboxEvent.objects.filter(state=InboxEvent.State.RECEIVED)
    others.update(state=InboxEvent.State.IGNORED)
    order = till.order()
    till.pay(order)
    if request.param == "process_stripe_events":
        (event,) = [e for e in till.news(order) if e["type"] == "checkout.session.completed"]
        till.stored(event["id"])
    is_done = sync_to_async(lambda: is_credited(till))
    again = partial(let_leases_end, till)
    assert till.user.wallet_id is not None
    return Work(getattr(tasks, request.param), is_done, till.user.wallet_id, again=again)


@pytest.mark.long
@pytest.mark.proves("F42", "F54")
async def test_killed_before_its_commit(work: Work, till: Till, owner, tmp_path):
    assert await killed_before_its_commit(work, owner, tmp_path, STRIPE_API_BASE=till.fake.url)


@pytest.mark.long
@pytest.mark.proves("F42", "F43", "F54")
async def test_killed_after_its_commit(work: Work, till: Till, owner, tmp_path):
    assert await killed_after_its_commit(work, owner, tmp_path, STRIPE_API_BASE=till.fake.url)


@pytest.mark.proves("F43")
async def test_twice_at_once_and_none_left_in_the_queue(work: Work, owner):
    assert await twice_at_once(work, owner)
