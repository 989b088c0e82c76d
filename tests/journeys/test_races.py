"""Many at once on one wallet, over real sockets: never more than there is, never a 5xx."""

import asyncio
from collections import Counter

import httpx
import pytest
from asgiref.sync import sync_to_async

from tests.support.chats import request
from tests.support.patience import PATIENCE_S
from tests.support.product import CHARGE, MODEL, UNIT, Shop, Wallet

STREAM_EVENTS = 9
"""Role, five words, the reason to stop, usage, the end."""


async def charge(
    http: httpx.AsyncClient, shop: Shop, user: str, *, key: str = "", amount: str = "1"
) -> httpx.Response:
    headers = shop.headers | ({"Idempotency-Key": key} if key else {})
    body = {"user": user, "amount": amount}
    return await http.post(f"{shop.api}/user/charge", json=body, headers=headers)


async def chat(http: httpx.AsyncClient, shop: Shop, user: str, **more: object) -> httpx.Response:
    body = request(MODEL, max_tokens=16) | {"user": user} | more
    return await http.post(f"{shop.api}/chat/completions", json=body, headers=shop.headers)


def decisions(answers: list[httpx.Response]) -> Counter[str]:
    return Counter(answer.headers["x-paywall-decision"] for answer in answers)


@pytest.mark.slow
@pytest.mark.proves("F28")
async def test_ten_of_two_hundred_charges_pass(shop, http):
    user = await sync_to_async(shop.funded)(10 * UNIT)
    answers = await asyncio.gather(
        *(charge(http, shop, user, key=f"c{number}") for number in range(200))
    )
    assert {answer.status_code for answer in answers} == {200}
    assert Counter(answer.json()["success"] for answer in answers) == {True: 10, False: 190}
    assert shop.wallet(user) == Wallet(posted=0, held=0)


@pytest.mark.proves("F29", "F31")
async def test_fifty_callers_with_one_key_make_one_entry(shop, http):
    user = await sync_to_async(shop.funded)(10 * UNIT)
    answers = await asyncio.gather(*(charge(http, shop, user, key="same") for _ in range(50)))
    assert {answer.status_code for answer in answers} <= {200, 409}
    bodies = {answer.text for answer in answers if answer.status_code == 200}
    assert len(bodies) == 1
    assert shop.wallet(user) == Wallet(posted=9 * UNIT, held=0)
    other = await charge(http, shop, user, key="same", amount="2")
    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_mismatch")


@pytest.mark.proves("F29")
async def test_fifty_callers_with_one_key_chat_once(shop, http, fake):
    user = await sync_to_async(shop.funded)()
    body = request(MODEL) | {"user": user}
    headers = shop.headers | {"Idempotency-Key": "chat"}
    answers = await asyncio.gather(
        *(http.post(f"{shop.api}/chat/completions", json=body, headers=headers) for _ in range(50))
    )
    assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 49}
    assert len(fake.requests) == 1
    assert shop.wallet(user) == Wallet(posted=UNIT - CHARGE, held=0)


@pytest.mark.slow
@pytest.mark.proves("F28")
@pytest.mark.parametrize("more", [{}, {"stream": True}], ids=["json", "stream"])
async def test_a_wallet_for_ten_chats_lets_ten_reach_the_provider(shop, http, fake, more):
    """The provider answers nobody before everybody has asked, so that no hold ends early."""
    fake.behaviour = "gated"
    one = await hold_of_one(shop, http, fake, more)
    user = await sync_to_async(shop.funded)(10 * one)
    asking = [asyncio.create_task(chat(http, shop, user, **more)) for _ in range(200)]
    refused, waiting = await first_done(asking, 190)
    assert decisions(refused) == {"topup_required": 190}
    assert len(fake.requests) == 1 + 10
    fake.release(1_000)
    answers = await asyncio.gather(*waiting)
    assert {answer.status_code for answer in (*refused, *answers)} == {200}
    assert decisions(answers) == {"allowed": 10}
    assert shop.wallet(user) == Wallet(posted=10 * one - 10 * CHARGE, held=0)


async def hold_of_one(shop: Shop, http: httpx.AsyncClient, fake, more: dict[str, object]) -> int:
    """What such a chat sets aside, in nanos."""
    user = await sync_to_async(shop.funded)()
    asking = asyncio.create_task(chat(http, shop, user, **more))
    await fake.wait_requests()
    held = shop.wallet(user).held
    fake.release(STREAM_EVENTS if more else 1)
    assert (await asking).status_code == 200
    return held


async def first_done(
    asking: list[asyncio.Task[httpx.Response]], count: int
) -> tuple[list[httpx.Response], list[asyncio.Task[httpx.Response]]]:
    """The first answers, and who still waits."""
    waiting = set(asking)
    answers: list[httpx.Response] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(answers) < count:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            answers += [task.result() for task in done]
    return answers, list(waiting)


@pytest.mark.slow
@pytest.mark.proves("F28")
async def test_two_processes_and_every_kind_of_spending_share_one_wallet(shop, http, fake, start):
    other = shop.at(await asyncio.to_thread(start))
    user = await sync_to_async(shop.funded)(UNIT // 1_000)
    shops = [shop, other]
    answers = await asyncio.gather(
        *(chat(http, shops[number % 2], user) for number in range(60)),
        *(chat(http, shops[number % 2], user, stream=True) for number in range(60)),
        *(charge(http, shops[number % 2], user, amount="0.00003") for number in range(60)),
    )
    assert {answer.status_code for answer in answers} == {200}
    chats = decisions(answers[:120])["allowed"]
    charges = sum(answer.json()["success"] for answer in answers[120:])
    assert len(fake.requests) == chats
    assert chats < 120
    assert charges
    left = UNIT // 1_000 - chats * CHARGE - charges * 30_000
    assert shop.wallet(user) == Wallet(posted=left, held=0)
    assert left >= 0
