"""kill -9 at each point of a request's life between which something is decided.

The wire to PostgreSQL stops at the statement in question, so that the point is reached on purpose.
C1, C2 and C4 are in test_crash.py, C9 in tests/billing/test_worker.py, C10 in test_crashes.py.
"""

import asyncio
from collections.abc import Iterator

import httpx
import pytest
from asgiref.sync import sync_to_async
from django.db import connection, transaction

from billing.webhooks import subscriptions
from billing.webhooks.models import Event
from tests.billing.webhooks.conftest import deliver
from tests.factories import ACTOR
from tests.fakes.sink import Sink
from tests.journeys.test_crash import GATED, WHOLE, all_reaped, charged, chat
from tests.support.product import CHARGE, UNIT, Shop, Wallet
from tests.support.streams import Stream, until

pytestmark = pytest.mark.long

CHARGED = "paywall.usage.charge.created"

KEPT_ALL = "h.progress -> 'usage' = '{\"prompt\": 9, \"completion\": 5}'"
"""A checkpoint with the usage that the provider reported at its end."""

WAITING_FOR_ME = """
    SELECT count(*) FROM pg_locks
    WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))
"""


@pytest.fixture
async def user(shop: Shop, there, http) -> str:
    """With money, before a process that has met the shop and has its connections."""
    assert (await chat(http, there, "nobody", WHOLE)).status_code == 200  # Told to top up.
    return await sync_to_async(shop.funded)()


async def killed(asking: asyncio.Task[httpx.Response], there) -> None:
    """Kill the process while somebody waits for its answer."""
    there.server.kill()
    with pytest.raises(httpx.TransportError):
        await asking


@pytest.mark.proves("F33", "C0")
async def test_before_the_hold_is_placed(shop, there, wire, http, fake, user):
    stop = wire.stop_at(b"billing_reserve")
    asking = asyncio.create_task(chat(http, there, user, WHOLE))
    await stop.wait()
    await killed(asking, there)
    assert shop.wallet(user) == Wallet(UNIT, 0)
    assert (await chat(http, shop, user, WHOLE)).status_code == 200
    assert charged(shop, user) == CHARGE
    assert len(fake.requests) == 1


@pytest.mark.proves("F33", "C1")
async def test_with_a_hold_that_the_process_never_heard_of(shop, there, wire, http, fake, user):
    stop = wire.stop_at(b"billing_reserve", answered=True)
    asking = asyncio.create_task(chat(http, there, user, WHOLE))
    await stop.wait()
    assert shop.holds() == 1
    await killed(asking, there)
    await until(all_reaped(shop))
    assert shop.wallet(user) == Wallet(UNIT, 0)
    assert shop.ends() == [("failed", "lease_expired", 0)]
    assert fake.requests == []


@pytest.mark.proves("F33", "C3")
async def test_with_an_answer_of_which_the_client_has_nothing(shop, there, http, fake, user):
    stream = Stream(http, there, user, "fake/fake-stall")
    await fake.wait_requests()
    there.server.kill()
    await stream.end()
    assert (stream.events, stream.error is None) == ([], False)
    await until(all_reaped(shop))
    assert shop.ends() == [("failed", "lease_expired", 0)]
    assert charged(shop, user) == 0


@pytest.mark.proves("F33", "C5")
async def test_with_all_delivered_and_nothing_booked(shop, there, wire, http, fake, user):
    """The heartbeat goes on while a settlement waits, so the last checkpoint has the usage."""
    stop = wire.stop_at(b"billing_settle")
    fake.release(100)
    stream = Stream(http, there, user, GATED)
    await stop.wait()
    await until(lambda: shop.holds(KEPT_ALL) == 1)
    there.server.kill()
    await stream.end()
    assert not stream.is_whole
    await until(all_reaped(shop))
    assert shop.ends() == [("recovered", "recovered_partial", CHARGE)]
    assert charged(shop, user) == CHARGE


@pytest.mark.proves("F33", "C6")
async def test_while_postgresql_settles(shop, there, http, fake, owner):
    """It ends what it was asked for, although nobody is there any more to hear of it."""
    user = await sync_to_async(shop.funded)()
    stream = Stream(http, there, user, GATED)
    await fake.wait_requests()
    with owner.transaction():
        owner.execute(
            "SELECT FROM ledger_account a JOIN paywalls_enduser u ON u.wallet_id = a.id"
            " WHERE u.external_id = %s FOR NO KEY UPDATE OF a",
            [user],
        )
        fake.release(100)
        await until(lambda: owner.execute(WAITING_FOR_ME).fetchone() == (1,))
        there.server.kill()
        assert shop.holds() == 1
    await stream.end()
    assert not stream.is_whole
    await until(all_reaped(shop))
    assert shop.ends() == [("completed", "completed:usage", CHARGE)]
    assert charged(shop, user) == CHARGE


@pytest.mark.proves("F33", "C7")
async def test_with_all_booked_and_the_end_not_sent(shop, there, wire, http, fake, user):
    """The client can ask what became of it."""
    stop = wire.stop_at(b"billing_settle", answered=True)
    fake.release(100)
    stream = Stream(http, there, user, GATED)
    await stop.wait()
    there.server.kill()
    await stream.end()
    assert not stream.is_whole
    assert charged(shop, user) == CHARGE
    name = stream.headers["x-request-id"]
    told = await http.get(f"{shop.api}/requests/{name}", headers=shop.headers)
    assert told.json()["cost"] == f"{CHARGE / UNIT:.9f}".rstrip("0")
    await until(all_reaped(shop))
    assert shop.ends() == [("completed", "completed:usage", CHARGE)]


@pytest.fixture
def listener(shop: Shop) -> Iterator[Sink]:
    """Is told of the shop's charges, and nobody else of anything that is due."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE billing_delivery SET status = 'error' WHERE status = 'pending'")
    with Sink() as sink:
        draft = subscriptions.Draft(url=sink.url, events=[CHARGED], secret="0123456789abcdef")
        with transaction.atomic():
            subscriptions.create(shop.paywall, draft, actor=ACTOR)
        yield sink


@pytest.mark.proves("F33", "C8")
@pytest.mark.parametrize("is_booked", [False, True], ids=["not booked", "booked"])
async def test_what_is_to_be_told_is_there_with_the_charge_or_not_at_all(
    shop, listener, there, wire, http, fake, user, is_booked
):
    """Nobody had the time to tell it; whoever comes next does."""
    stop = wire.stop_at(b"billing_settle", answered=is_booked)
    fake.release(100)
    stream = Stream(http, there, user, GATED)
    await stop.wait()
    there.server.kill()
    await stream.end()
    events = Event.objects.filter(paywall_id=shop.paywall.pk, type=CHARGED)
    assert await events.acount() == is_booked
    assert UNIT - shop.wallet(user).posted == is_booked * CHARGE
    assert listener.seen == []
    assert await asyncio.to_thread(deliver) == ({"success": 1} if is_booked else {})
    assert [seen.json["type"] for seen in listener.seen] == [CHARGED] * is_booked
    assert await asyncio.to_thread(deliver) == {}
