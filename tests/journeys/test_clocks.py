"""A server's clock is off: PostgreSQL's decides."""

import asyncio
import datetime as dt
from dataclasses import replace

import pytest
from asgiref.sync import sync_to_async

from config.kit import clock
from paywalls.models import ApiKey
from tests.factories import make_key
from tests.journeys.test_crash import GATED, KEPT_FOUR, charged, chat
from tests.support.product import CHARGE, MODEL, reap
from tests.support.sources import ROOT
from tests.support.streams import Stream, until

SHIFTED = str(ROOT / "tests" / "fakes" / "clock")
MINUTE = dt.timedelta(minutes=1)
LEASE_S = 60
"""Much less than ten minutes, and enough for a busy machine."""

LEFT = "extract(epoch FROM h.lease_until - clock_timestamp()) BETWEEN 0 AND"


@pytest.mark.long
@pytest.mark.proves("F45")
@pytest.mark.parametrize("seconds", [-600, 600])
async def test_ten_minutes_off(shop, start, http, fake, owner, seconds):
    server = await asyncio.to_thread(
        start, PYTHONPATH=SHIFTED, SHIFT_S=str(seconds), HOLD_LEASE_S=str(LEASE_S)
    )
    here, user = shop.at(server), await sync_to_async(shop.funded)()
    stream = Stream(http, here, user, GATED)
    await fake.wait_requests()
    assert shop.holds(f"{LEFT} {LEASE_S}") == 1
    await sync_to_async(reap)()
    fake.release(4)
    await until(lambda: shop.holds(KEPT_FOUR) == 1)
    await sync_to_async(reap)()
    fake.release(100)
    await stream.end()
    assert stream.is_whole
    assert charged(shop, user) == CHARGE
    (off,) = owner.execute(
        "SELECT extract(epoch FROM clock_timestamp() - finished_at) FROM billing_request"
        " WHERE paywall_id = %s",
        [shop.paywall.pk],
    ).fetchone()
    assert 0 <= off < 120


@pytest.mark.long
@pytest.mark.proves("F45")
async def test_a_key_expires_by_the_databases_clock(shop, start, http):
    early = await asyncio.to_thread(start, PYTHONPATH=SHIFTED, SHIFT_S="-600")
    late = await asyncio.to_thread(start, PYTHONPATH=SHIFTED, SHIFT_S="600")
    user = await sync_to_async(shop.funded)()
    key, token = await sync_to_async(make_key)(shop.paywall, expires_at=clock.now() + 5 * MINUTE)
    mine = replace(shop, key=key, token=token)
    assert (await chat(http, mine.at(late), user, MODEL)).status_code == 200
    await ApiKey.objects.filter(pk=key.pk).aupdate(expires_at=clock.now() - MINUTE)
    assert (await chat(http, mine.at(early), user, MODEL)).status_code == 401
