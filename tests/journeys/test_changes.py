"""What a developer changes is in force in the running product at once, or soon."""

import asyncio
import time
from collections.abc import Callable

import httpx
import pytest
from asgiref.sync import sync_to_async

from tests.support.chats import request
from tests.support.commands import run
from tests.support.product import MODEL, Shop, Wallet, make_shop

SOON_S = 10.0
"""It is a second; whoever is not told at all looks again after that."""

Seen = Callable[[httpx.Response], bool]


@pytest.fixture
def user(shop: Shop) -> str:
    return shop.funded()


async def chat(http: httpx.AsyncClient, shop: Shop, user: str) -> httpx.Response:
    body = request(MODEL) | {"user": user}
    return await http.post(f"{shop.api}/chat/completions", json=body, headers=shop.headers)


def code(answer: httpx.Response) -> str:
    return str(answer.json()["error"]["code"]) if answer.is_error else ""


async def change(*command: str) -> None:
    await sync_to_async(run)(*command)


async def within_a_second(http, shop: Shop, user: str, is_seen: Seen) -> None:
    """Ask until the change is seen; every answer before that is a whole one."""
    ends = time.monotonic() + SOON_S
    while not is_seen(answer := await chat(http, shop, user)):
        assert answer.status_code == 200
        assert time.monotonic() < ends
        await asyncio.sleep(0.02)


async def test_a_revoked_key_spends_nothing_from_that_moment_on(shop, http, fake, user):
    assert (await chat(http, shop, user)).status_code == 200
    wallet = shop.wallet(user)
    await change("revoke_key", shop.key.public_id)
    answer = await chat(http, shop, user)
    assert (answer.status_code, code(answer)) == (401, "invalid_api_key")
    assert shop.wallet(user) == wallet
    assert len(fake.requests) == 1


@pytest.mark.slow
async def test_the_gate_itself_refuses_where_nothing_is_heard(shop, http, fake, start, user):
    """A process that cannot listen trusts what it knows for a second; the money does not."""
    nowhere = "postgresql://nobody@127.0.0.1:9/nothing"
    deaf = shop.at(await asyncio.to_thread(start, DATABASE_DIRECT_URL=nowhere))
    other = await sync_to_async(make_shop)(deaf.server, fake.url)
    rich = await sync_to_async(other.funded)()
    for each, payer in ((deaf, user), (other, rich)):
        assert (await chat(http, each, payer)).status_code == 200
    await change("revoke_key", shop.key.public_id)
    await change("set_paywall", str(other.paywall.public_id), "--pause")
    assert code(await chat(http, deaf, user)) == "invalid_api_key"
    assert code(await chat(http, other, rich)) == "paywall_paused"
    assert len(fake.requests) == 2


async def test_a_revoked_key_reads_nothing_after_a_second(shop, http, user):
    address, sent = f"{shop.api}/user/balance?user={user}", shop.headers
    assert (await http.get(address, headers=sent)).status_code == 200
    await change("revoke_key", shop.key.public_id)
    ends = time.monotonic() + SOON_S
    while (await http.get(address, headers=sent)).status_code != 401:
        assert time.monotonic() < ends
        await asyncio.sleep(0.02)


async def test_a_paused_paywall_spends_nothing_from_that_moment_on(shop, http, user):
    assert (await chat(http, shop, user)).status_code == 200
    wallet = shop.wallet(user)
    await change("set_paywall", str(shop.paywall.public_id), "--pause")
    answer = await chat(http, shop, user)
    assert (answer.status_code, code(answer)) == (403, "paywall_paused")
    assert shop.wallet(user) == wallet
    await change("set_paywall", str(shop.paywall.public_id), "--resume")
    ends = time.monotonic() + SOON_S
    while (await chat(http, shop, user)).status_code != 200:
        assert time.monotonic() < ends
        await asyncio.sleep(0.02)


async def test_a_price(shop, http, user):
    assert (await chat(http, shop, user)).headers["x-paywall-cost"] == "0.0000228"
    prices = ["--request", "0.01", "--prompt", "0", "--completion", "0", "--force"]
    await change("set_price", str(shop.paywall.public_id), "--model", MODEL, *prices)
    await within_a_second(
        http, shop, user, lambda answer: answer.headers["x-paywall-cost"] == "0.01"
    )


async def test_a_limit(shop, http, user):
    assert (await chat(http, shop, user)).status_code == 200
    await change("set_limit", str(shop.paywall.public_id), "requests_day", "0")
    await within_a_second(http, shop, user, lambda answer: code(answer) == "rate_limited")
    assert (await chat(http, shop, user)).headers["retry-after"]


async def test_a_model_that_is_allowed_no_more(shop, http, user):
    assert (await chat(http, shop, user)).status_code == 200
    await change("set_paywall", str(shop.paywall.public_id), "--allowed-models", "fake/other")
    await within_a_second(http, shop, user, lambda answer: code(answer) == "model_not_allowed")


async def test_a_message(shop, http):
    broke = f"broke_{shop.key.pk.hex}"
    assert (await chat(http, shop, broke)).headers["x-paywall-decision"] == "topup_required"
    text = "Pay for {{name}} at {{url}}, please."
    await change("set_message", str(shop.paywall.public_id), "insufficient_funds", text)
    await within_a_second(http, shop, broke, lambda answer: b"please." in answer.content)
    assert await sync_to_async(shop.wallet)(broke) == Wallet(0, 0)
