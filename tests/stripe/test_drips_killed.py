"""The worker dies while it gives a month of a yearly plan, or two do it: it is given once."""

import datetime as dt
from typing import Any

import pytest
import redis
from asgiref.sync import sync_to_async
from django.db.models import F

from billing import tasks
from billing.stripe.models import Drip
from tests.stripe.test_drips import months, refs, yearly
from tests.stripe.test_plans import subscribed
from tests.stripe.till import UNIT, Till
from tests.support.worker import (
    Work,
    killed_after_its_commit,
    killed_before_its_commit,
    twice_at_once,
)

AGO = dt.timedelta(days=32)


def is_given(till: Till) -> bool:
    """The second month, once; or not at all."""
    given = refs(till)
    assert given in (months(1, 1), months(1, 2))
    assert till.posted == len(given) * 20 * UNIT
    return len(given) > 1


@pytest.fixture
def work(till: Till, settings: Any) -> Work:
    """A second month that has begun, and nothing in the queue."""
    with redis.Redis.from_url(settings.REDIS_URL) as valkey:
        valkey.flushdb()
    subscribed(till, yearly(till))
    earlier = {name: F(name) - AGO for name in ("starts_at", "next_at")}
    Drip.objects.filter(order__user=till.user).update(**earlier)
    wallet = till.user.wallet_id
    assert wallet is not None
    return Work(tasks.drip_plans, sync_to_async(lambda: is_given(till)), wallet)


@pytest.mark.long
@pytest.mark.proves("F42")
async def test_killed_before_its_commit(work: Work, owner, tmp_path):
    assert await killed_before_its_commit(work, owner, tmp_path)


@pytest.mark.long
@pytest.mark.proves("F42", "F43")
async def test_killed_after_its_commit(work: Work, owner, tmp_path):
    assert await killed_after_its_commit(work, owner, tmp_path)


@pytest.mark.proves("F43")
async def test_twice_at_once_and_none_left_in_the_queue(work: Work, owner):
    assert await twice_at_once(work, owner)
