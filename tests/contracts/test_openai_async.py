"""OpenAI's asynchronous client: it lets go in mid-stream, it repeats by itself, it waits."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from asgiref.sync import sync_to_async

from tests.fakes.upstream import FakeUpstream
from tests.support.product import UNIT, Server, Shop, Wallet, is_price_of, make_shop
from tests.support.streams import until

KEY = "sk-developers-own-0123456789"
SAY: Any = [{"role": "user", "content": "Say something."}]


@pytest.fixture
def shop(product: Server, fake: FakeUpstream, books: None) -> Shop:
    return make_shop(product, fake.url, key=KEY)


@pytest.fixture
async def client(shop: Shop) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(api_key=shop.token, base_url=shop.api, max_retries=2) as made:
        yield made


async def test_the_provider_sees_the_developers_key_and_nobody_else(client, shop, fake):
    user = await sync_to_async(shop.funded)()
    await client.chat.completions.create(model="model", messages=SAY, user=user)
    (seen,) = fake.requests
    assert seen.path == "/v1/chat/completions"
    assert seen.headers["authorization"] == f"Bearer {KEY}"
    assert seen.json["user"] != user
    text = f"{seen.headers} {seen.json}"
    assert user not in text
    assert shop.token not in text
    assert "stainless" not in text


async def test_a_stream_that_is_let_go_stops_the_provider(client, shop, fake):
    fake.words = [" word"] * 100
    user = await sync_to_async(shop.funded)()
    asking = asyncio.create_task(
        client.chat.completions.create(model="fake-gated", messages=SAY, user=user, stream=True)
    )
    await fake.wait_requests()
    fake.release(5)
    stream = await asking
    async with stream:
        for _ in range(5):
            await anext(stream)
    await fake.wait_closed()
    await until(lambda: bool(shop.ends()))
    ((status, _, charged),) = shop.ends()
    assert status == "client_gone"
    assert is_price_of(charged, output=4)
    assert shop.wallet(user) == Wallet(UNIT - charged, 0)


@pytest.mark.parametrize("model", ["fake-cut", "fake-garbage", "fake-short"])
async def test_what_a_provider_worked_for_is_not_asked_again(client, shop, fake, model):
    """The client repeats 5xx by itself, unless it is told not to."""
    user = await sync_to_async(shop.funded)()
    with pytest.raises(openai.InternalServerError):
        await client.chat.completions.create(model=model, messages=SAY, user=user)
    assert len(fake.requests) == 1
    assert shop.wallet(user) == Wallet(UNIT, 0)


async def test_a_repeat_after_trouble_is_paid_once(client, shop, fake):
    """The first answer is a 503; the client repeats by itself with the same key of its own."""
    user = await sync_to_async(shop.funded)()
    fake.behaviour = "503"
    asking = asyncio.create_task(
        client.chat.completions.create(
            model="model", messages=SAY, user=user, extra_headers={"Idempotency-Key": "mine"}
        )
    )
    await fake.wait_requests()
    fake.behaviour = "normal"
    answer = await asking
    assert answer.choices[0].message.content == "Hello there, this is fake."
    assert [status for status, _, _ in shop.ends()] == ["failed", "completed"]
    assert shop.wallet(user) == Wallet(UNIT - shop.ends()[1][2], 0)
