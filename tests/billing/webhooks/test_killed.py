"""The worker dies while a receiver thinks: what it was telling is told again, by the same id."""

import asyncio

import pytest
import redis
from asgiref.sync import sync_to_async

from billing import movements, tasks
from billing.webhooks.models import Delivery
from config.kit.money import NANOS
from tests.billing.webhooks.conftest import deliver, hurry
from tests.factories import ACTOR
from tests.fakes.sink import Answer, Sink
from tests.support.streams import until
from tests.support.worker import send, worker

WHY = movements.Reason(actor=ACTOR, reason="tests")


@pytest.mark.long
@pytest.mark.proves("F42", "F65")
async def test_killed_amid_a_post(paywall, subscribe, sink: Sink, tmp_path, settings):
    with redis.Redis.from_url(settings.REDIS_URL) as valkey:
        valkey.flushdb()
    sink.answer = Answer(hangs=True)
    await sync_to_async(subscribe)(sink.url, "paywall.balance.*")
    await sync_to_async(movements.deposit)(paywall, "ann", NANOS, WHY)
    await send(tasks.deliver_events.name)
    async with worker(tmp_path, settings.REDIS_URL) as child:
        await asyncio.to_thread(sink.wait)
        child.process.kill()
    delivery = await Delivery.objects.aget(paywall_id=paywall.pk)
    assert (delivery.status, len(sink.seen)) == ("pending", 1)
    sink.answer = Answer()
    assert await asyncio.to_thread(deliver) == {}, "its claim still holds"
    await sync_to_async(hurry)()
    await until(lambda: deliver() == {"success": 1})  # Its session may take a moment to end.
    assert await asyncio.to_thread(deliver) == {}
    first, second = sink.seen
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
