"""PostgreSQL goes away under load, and comes back: nothing is lost, and nothing is paid twice."""

import asyncio

import httpx
import pytest
from asgiref.sync import sync_to_async

from tests.support.chats import request
from tests.support.product import CHARGE, MODEL, UNIT, Shop, Wallet
from tests.support.streams import Stream, until

CALLERS = 10
PAUSE_S = 0.02


async def chat(http: httpx.AsyncClient, shop: Shop, user: str, **more: str) -> httpx.Response:
    body = request(more.pop("model", MODEL)) | {"user": user}
    headers = shop.headers | more
    return await http.post(f"{shop.api}/chat/completions", json=body, headers=headers)


async def charge(http: httpx.AsyncClient, shop: Shop, user: str, key: str) -> httpx.Response:
    headers = shop.headers | {"Idempotency-Key": key}
    body = {"user": user, "amount": "0.001"}
    return await http.post(f"{shop.api}/user/charge", json=body, headers=headers)


class Load:
    """Callers who ask again and again, until they are stopped."""

    def __init__(
        self, http: httpx.AsyncClient, shop: Shop, user: str, *, callers: int = CALLERS
    ) -> None:
        self.answers: list[httpx.Response] = []
        self._is_over = False
        self._callers = [asyncio.create_task(self._call(http, shop, user)) for _ in range(callers)]

    async def _call(self, http: httpx.AsyncClient, shop: Shop, user: str) -> None:
        while not self._is_over:
            self.answers.append(await chat(http, shop, user))
            await asyncio.sleep(PAUSE_S)

    def count(self, status: int) -> int:
        return sum(answer.status_code == status for answer in self.answers)

    async def until(self, status: int, *, more: int) -> None:
        """Until so many more of them have come."""
        enough = self.count(status) + more
        await until(lambda: self.count(status) >= enough)

    async def stop(self) -> None:
        self._is_over = True
        await asyncio.gather(*self._callers)


@pytest.mark.slow
async def test_an_outage_under_load(there, http, fake, wire):
    """Who runs goes on, who comes is told to wait, and all is booked once it is back."""
    streaming, busy = [await sync_to_async(there.funded)() for _ in range(2)]
    stream = Stream(http, there, streaming, "fake-gated")
    await fake.wait_requests()
    fake.release(3)
    await stream.until(3)
    load = Load(http, there, busy)
    await load.until(200, more=20)
    await wire.cut()
    fake.release(100)
    await load.until(503, more=CALLERS)  # Past what is tried again at once.
    assert not stream.is_whole
    await wire.mend()
    await stream.end()
    await load.until(200, more=20)
    await load.stop()
    assert stream.is_whole
    assert there.wallet(streaming) == Wallet(UNIT - CHARGE, 0)
    assert_refused_in_order(load)
    await until(lambda: there.wallet(busy).held == 0)
    paid, rest = divmod(UNIT - there.wallet(busy).posted, CHARGE)
    assert rest == 0
    assert load.count(200) <= paid <= load.count(200) + CALLERS


def assert_refused_in_order(load: Load) -> None:
    assert load.count(200) + load.count(503) == len(load.answers)
    for answer in load.answers:
        if answer.is_error:
            assert answer.json()["error"]["code"] == "platform_unavailable"
            assert answer.headers["retry-after"]


@pytest.mark.slow
@pytest.mark.proves("F38")
async def test_answers_of_the_database_that_are_lost(there, http, fake, wire):
    """It did what it was asked, and nobody heard: asked again, it does nothing more."""
    user = await sync_to_async(there.funded)()
    assert (await chat(http, there, user)).status_code == 200
    assert (await charge(http, there, user, "zero")).status_code == 200
    left = there.wallet(user).posted

    wire.lose_next_answer()  # Of the hold.
    answer = await chat(http, there, user)
    assert (answer.status_code, wire.lost) == (200, 1)
    assert there.wallet(user) == Wallet(left - CHARGE, 0)

    asking = asyncio.create_task(chat(http, there, user, model="fake-gated"))
    await fake.wait_requests(3)
    wire.lose_next_answer()  # Of the charge, or of a heartbeat before it.
    fake.release()
    answer = await asking
    assert (answer.status_code, wire.lost) == (200, 2)
    assert there.wallet(user) == Wallet(left - 2 * CHARGE, 0)

    wire.lose_next_answer()  # Of the manual charge.
    answer = await charge(http, there, user, "one")
    assert answer.json()["success"] is True
    assert wire.lost == 3
    assert there.wallet(user) == Wallet(left - 2 * CHARGE - UNIT // 1_000, 0)
