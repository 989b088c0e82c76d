"""The whole way, with the real gate and books: from an HTTP request to the ledger and back."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import openai
import orjson
import pytest
from asgiref.sync import sync_to_async
from django.test import override_settings
from openai.types.chat import ChatCompletionUserMessageParam

from config.kit.money import format_micros, parse_nanos
from providers.models import Model
from tests.factories import ConnectionFactory
from tests.fakes.upstream import FakeUpstream
from tests.proxy.tenant import Tenant
from tests.support.chats import Client, request

CHAT = "/v1/chat/completions"
COST = {"prompt": 1_000_000_000, "completion": 2_000_000_000}
SAY: list[ChatCompletionUserMessageParam] = [{"role": "user", "content": "Say something."}]
CHARGE = (9 * 1_000 + 5 * 2_000) * 12 // 10
"""The fake provider's usage at that cost and the factory's 20 %."""


@pytest.fixture
async def fake() -> AsyncIterator[FakeUpstream]:
    with override_settings(EGRESS_ALLOW=("127.0.0.0/8",)):
        async with FakeUpstream() as running:
            yield running


@pytest.fixture
async def shop(fake: FakeUpstream, tenant: Tenant) -> Tenant:
    """A tenant with a model to sell and a user with 1 unit."""
    await sync_to_async(offer)(tenant, fake)
    await deposit(tenant, tenant.user, "1")
    return tenant


def offer(tenant: Tenant, fake: FakeUpstream, **settlement: str) -> None:
    connection = ConnectionFactory.create(
        paywall=tenant.paywall,
        name="fake",
        kind="compatible",
        base_url=fake.url,
        settlement=settlement,
    )
    Model.objects.create(
        kind="compatible", connection=connection, name="model", cost=COST, source="tests"
    )


async def deposit(tenant: Tenant, user: str, amount: str) -> None:
    answer = await tenant.post("/v1/user/balance/deposit", {"user": user, "amount": amount})
    assert answer.status == 200, answer.body


async def chat(tenant: Tenant, body: dict[str, object], client: Client, *headers) -> Client:
    """A chat over the whole application; the client stays until it has its answer."""
    client.body_sent = orjson.dumps(body)
    scope = {
        "type": "http",
        "method": "POST",
        "path": CHAT,
        "raw_path": CHAT.encode(),
        "query_string": b"",
        "headers": [tenant.bearer, (b"content-type", b"application/json"), *headers],
        "client": ("127.0.0.1", 1),
    }
    await tenant.app(scope, client.receive, client.send)
    return client


def asked(tenant: Tenant, **more) -> dict[str, object]:
    return request(**more) | {"user": tenant.user}


@pytest.mark.parametrize("stream", [False, True])
async def test_the_balance_falls_by_exactly_the_charge(shop, stream):
    client = await chat(shop, asked(shop, stream=stream), Client())
    assert client.status == 200
    assert await shop.balance() == str((10**9 - CHARGE) // 1_000)
    if not stream:
        assert parse_nanos(client.headers["x-paywall-cost"]) == CHARGE
        assert client.headers["x-paywall-balance"] == format_micros(10**9 - CHARGE)


async def test_the_request_can_be_looked_up(shop):
    client = await chat(shop, asked(shop), Client())
    found = await shop.get(f"/v1/requests/{client.headers['x-request-id']}")
    assert found.json["status"] == "completed"
    assert found.json["model"] == "fake/model"
    assert parse_nanos(found.json["cost"]) == CHARGE


@pytest.mark.parametrize("stream", [False, True])
async def test_who_has_no_money_reads_the_link_and_the_provider_is_not_asked(shop, fake, stream):
    body = asked(shop, stream=stream) | {"user": "user_broke"}
    client = await chat(shop, body, Client())
    assert client.status == 200
    assert client.headers["x-paywall-decision"] == "topup_required"
    assert b"/v1/checkout/" in client.body
    assert not fake.requests


async def test_a_thin_wallet_lets_through_what_it_can_hold_and_never_goes_below_zero(shop, fake):
    await deposit(shop, "user_thin", "0.01")
    body = asked(shop, max_tokens=16) | {"user": "user_thin"}
    clients = await asyncio.gather(*(chat(shop, body, Client()) for _ in range(100)))
    assert {client.status for client in clients} == {200}
    charged = [c for c in clients if c.headers["x-paywall-decision"] == "allowed"]
    assert len(fake.requests) == len(charged)
    assert 0 < len(charged) < 100
    left = int(await shop.balance("user_thin"))
    assert left == (10_000_000 - CHARGE * len(charged)) // 1_000


async def test_a_repeated_key_never_reaches_a_provider_again(shop, fake):
    key = (b"idempotency-key", b"once")
    first = await chat(shop, asked(shop), Client(), key)
    again = await chat(shop, asked(shop), Client(), key)
    other = await chat(shop, asked(shop, seed=1), Client(), key)
    assert first.status == 200
    assert (again.status, again.json["error"]["code"]) == (409, "already_completed")
    assert again.json["error"]["request_id"] == first.headers["x-request-id"]
    assert (other.status, other.json["error"]["code"]) == (422, "idempotency_mismatch")
    assert len(fake.requests) == 1


async def test_a_repeated_key_while_the_first_runs_has_to_wait(shop, fake):
    fake.behaviour = "gated"
    key = (b"idempotency-key", b"busy")
    running = asyncio.create_task(chat(shop, asked(shop), Client(), key))
    await fake.wait_requests()
    again = await chat(shop, asked(shop), Client(), key)
    assert (again.status, again.json["error"]["code"]) == (409, "idempotency_in_progress")
    assert again.headers["retry-after"] == "1"
    fake.release()
    assert (await running).status == 200


@pytest.mark.parametrize("stream", [False, True])
async def test_a_kept_answer_is_given_again(tenant, fake, stream):
    tenant.paywall.store_answers = True
    await sync_to_async(tenant.paywall.save)(update_fields=["store_answers"])
    await sync_to_async(offer)(tenant, fake)
    await deposit(tenant, tenant.user, "1")
    key = (b"idempotency-key", b"kept")
    first = await chat(tenant, asked(tenant, stream=stream), Client(), key)
    again = await chat(tenant, asked(tenant, stream=stream), Client(), key)
    assert again.body == first.body
    assert again.headers["idempotent-replayed"] == "true"
    assert len(fake.requests) == 1


async def test_a_client_that_leaves_pays_for_what_it_got(shop, fake):
    fake.behaviour = "gated"
    client = Client()
    running = asyncio.create_task(chat(shop, asked(shop, stream=True), client))
    await fake.wait_requests()
    fake.release(4)
    await client.wait_events(4)
    client.gone.set()
    await running
    await fake.wait_closed()
    found = await shop.get(f"/v1/requests/{client.headers['x-request-id']}")
    assert found.json["status"] == "client_gone"
    assert found.json["usageSource"] == "estimated"
    charged = parse_nanos(found.json["cost"])
    assert charged
    assert await shop.balance() == str((10**9 - charged) // 1_000)


async def test_trouble_costs_nothing_and_frees_the_hold(shop, fake):
    fake.behaviour = "500"
    client = await chat(shop, asked(shop), Client())
    assert client.status == 502
    assert await shop.balance() == "1000000"


class TestOfficialClient:
    """OpenAI's own Python client, unchanged: only base URL and key differ."""

    @pytest.fixture
    async def client(self, shop: Tenant) -> AsyncIterator[openai.AsyncOpenAI]:
        transport = httpx.ASGITransport(app=shop.app)
        async with openai.AsyncOpenAI(
            api_key=shop.token,
            base_url="http://paywalls.test/v1",
            max_retries=0,
            # The client's annotations name its own copy of httpx.
            http_client=httpx.AsyncClient(transport=transport),  # type: ignore[arg-type]
        ) as found:
            yield found

    async def test_a_whole_answer(self, client, shop):
        answer = await client.chat.completions.create(model="model", messages=SAY, user=shop.user)
        assert answer.choices[0].message.content == "Hello there, this is fake."

    async def test_a_stream_with_its_usage_and_cost(self, client, shop):
        stream = await client.chat.completions.create(
            model="model",
            messages=SAY,
            user=shop.user,
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
        text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        assert text == "Hello there, this is fake."
        assert chunks[-1].usage.prompt_tokens == 9
        assert chunks[-1].usage.model_extra == {"cost": 0.0000228}

    async def test_a_stream_that_breaks_off_raises(self, client, shop, fake: FakeUpstream):
        fake.behaviour = "eof"
        stream = await client.chat.completions.create(
            model="model", messages=SAY, user=shop.user, stream=True
        )
        seen: list[object] = []

        async def read() -> None:
            async for chunk in stream:
                seen.append(chunk)  # noqa: PERF401 - A comprehension would keep none.

        with pytest.raises(openai.APIError) as caught:
            await read()
        assert seen
        assert caught.value.code == "upstream_error"

    async def test_who_has_no_money_reads_the_link(self, client):
        answer = await client.chat.completions.create(model="model", messages=SAY, user="broke")
        assert "/v1/checkout/" in answer.choices[0].message.content

    async def test_who_has_no_money_gets_402_where_errors_are_wanted(self, client):
        with pytest.raises(openai.APIStatusError) as caught:
            await client.chat.completions.create(
                model="model", messages=SAY, user="broke", extra_headers={"X-Paywall-Mode": "error"}
            )
        assert caught.value.status_code == 402
        assert caught.value.code == "topup_required"

    async def test_refusals_become_the_clients_own_exceptions(
        self, client, shop, fake: FakeUpstream
    ):
        with pytest.raises(openai.NotFoundError):
            await client.chat.completions.create(model="nothing", messages=SAY, user=shop.user)
        with pytest.raises(openai.BadRequestError):
            await client.chat.completions.create(model="model", messages=[], user=shop.user)
        fake.behaviour = "429"
        with pytest.raises(openai.RateLimitError):
            await client.chat.completions.create(model="model", messages=SAY, user=shop.user)
