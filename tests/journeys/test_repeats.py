"""Idempotency-Keys on the running product: lost answers, other bodies, and weeks later."""

import datetime as dt
from typing import Any

import httpx
import openai
import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.conf import settings

from config.celery import TIMETABLE, app
from config.dev.servers import HOST
from tests.fakes.wire import Wire
from tests.support.asks import chat
from tests.support.product import CHARGE, MODEL, UNIT, Shop, Wallet, make_shop

CHARGES = "/user/charge"
DEPOSITS = "/user/balance/deposit"
MOVED = {CHARGES: -1, DEPOSITS: 1}
"""Which way a call moves money."""

AGES = [dt.timedelta(hours=25), dt.timedelta(days=4), dt.timedelta(days=31)]


@pytest.fixture
def user(shop: Shop) -> str:
    return shop.funded(10 * UNIT)


@pytest.fixture
async def wire(shop: Shop):
    async with Wire(shop.server.url) as made:
        yield made


async def move(
    http: httpx.AsyncClient, api: str, shop: Shop, path: str, key: str, **body: Any
) -> httpx.Response:
    headers = shop.headers | {"Idempotency-Key": key}
    return await http.post(api + path, json={"amount": "1", **body}, headers=headers)


def transaction(answer: httpx.Response) -> tuple[int, object]:
    return answer.status_code, answer.json()["transactionId"]


FORGETTING = (
    "billing.tasks.expire_lots",
    "billing.tasks.ensure_partitions",
    "billing.tasks.forget_stripe_events",
)
"""The jobs of the timetable that take something away."""


class TestLostAnswers:
    @pytest.mark.proves("F30")
    @pytest.mark.parametrize("path", MOVED)
    async def test_a_repeat_gets_the_answer_that_was_lost_and_moves_nothing(
        self, shop, http, user, wire, path
    ):
        through = f"http://{HOST}:{wire.port}/v1"
        wire.lose_next_answer()
        with pytest.raises(httpx.TransportError):
            await move(http, through, shop, path, "once", user=user)
        assert wire.lost == 1
        done = Wallet((10 + MOVED[path]) * UNIT, 0)
        assert shop.wallet(user) == done
        again = await move(http, through, shop, path, "once", user=user)
        third = await move(http, shop.api, shop, path, "once", user=user)
        assert again.status_code == 200
        assert again.content == third.content
        assert shop.wallet(user) == done

    @pytest.mark.proves("F30")
    async def test_a_client_library_that_repeats_by_itself_pays_once(
        self, shop, http, fake, user, wire
    ):
        shop.paywall.store_answers = True
        await sync_to_async(shop.paywall.save)(update_fields=["store_answers"])
        wire.lose_next_answer()
        async with openai.AsyncOpenAI(
            api_key=shop.token,
            base_url=f"http://{HOST}:{wire.port}/v1",
            max_retries=2,
            default_headers={"Idempotency-Key": "once"},
        ) as client:
            answer = await client.chat.completions.create(
                model=MODEL, messages=[{"role": "user", "content": "Hi"}], user=user
            )
        assert answer.choices[0].message.content == "Hello there, this is fake."
        assert (wire.lost, len(fake.requests)) == (1, 1)
        assert shop.wallet(user) == Wallet(10 * UNIT - CHARGE, 0)

    @pytest.mark.proves("F30")
    async def test_where_answers_are_not_kept_a_repeat_is_told_so_and_pays_nothing(
        self, shop, http, fake, user
    ):
        key = {"Idempotency-Key": "once"}
        first = await chat(http, shop, user, headers=key)
        again = await chat(http, shop, user, headers=key)
        assert (again.status_code, again.json()["error"]["code"]) == (409, "already_completed")
        assert again.json()["error"]["request_id"] == first.headers["x-request-id"]
        assert again.headers["x-should-retry"] == "false"
        assert len(fake.requests) == 1
        assert shop.wallet(user) == Wallet(10 * UNIT - CHARGE, 0)


class TestOtherCalls:
    @pytest.mark.proves("F31")
    @pytest.mark.parametrize("path", MOVED)
    async def test_another_amount_or_user_under_the_same_key_is_refused(
        self, shop, http, user, path
    ):
        other = await sync_to_async(shop.funded)()
        assert (await move(http, shop.api, shop, path, "k", user=user)).status_code == 200
        left = shop.wallet(user)
        for body in ({"user": user, "amount": "2"}, {"user": other}):
            answer = await move(http, shop.api, shop, path, "k", **body)
            assert (answer.status_code, answer.json()["error"]["code"]) == (
                422,
                "idempotency_mismatch",
            )
        assert shop.wallet(user) == left
        assert shop.wallet(other) == Wallet(UNIT, 0)

    @pytest.mark.proves("F31")
    async def test_another_chat_under_the_same_key_is_refused(self, shop, http, fake, user):
        key = {"Idempotency-Key": "k"}
        await chat(http, shop, user, headers=key)
        answer = await chat(http, shop, user, headers=key, seed=1)
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "idempotency_mismatch")
        assert len(fake.requests) == 1

    @pytest.mark.proves("F31")
    async def test_each_endpoint_and_each_paywall_has_keys_of_its_own(
        self, product, shop, http, fake, user
    ):
        elsewhere = await sync_to_async(make_shop)(product, fake.url)
        there = await sync_to_async(elsewhere.funded)(10 * UNIT)
        for here, payer in ((shop, user), (elsewhere, there)):
            for path in MOVED:
                answer = await move(http, here.api, here, path, "k", user=payer)
                assert answer.status_code == 200
            assert (await chat(http, here, payer, headers={"Idempotency-Key": "k"})).is_success
            assert here.wallet(payer) == Wallet(10 * UNIT - CHARGE, 0)


class TestWeeksLater:
    @pytest.mark.proves("F32")
    @pytest.mark.parametrize("age", AGES, ids=str)
    async def test_a_key_still_moves_nothing_twice(self, shop, http, fake, user, age):
        shop.paywall.store_answers = True
        await sync_to_async(shop.paywall.save)(update_fields=["store_answers"])
        first = [await move(http, shop.api, shop, path, "k", user=user) for path in MOVED]
        key = {"Idempotency-Key": "k"}
        kept = await chat(http, shop, user, headers=key)
        assert (await chat(http, shop, user, headers=key)).content == kept.content
        wallet = shop.wallet(user)
        await sync_to_async(let_pass)(shop, age)
        again = [await move(http, shop.api, shop, path, "k", user=user) for path in MOVED]
        assert [transaction(answer) for answer in again] == [transaction(a) for a in first]
        forgotten = await chat(http, shop, user, headers=key)
        assert forgotten.json()["error"]["code"] == "already_completed"
        assert len(fake.requests) == 1
        assert shop.wallet(user) == wallet


def let_pass(shop: Shop, age: dt.timedelta) -> None:
    """Makes all that is kept for repeats older; then the worker forgets what is past its time."""
    with psycopg.connect(settings.DATABASE_OWNER_URL) as connection:
        for statement in (
            "UPDATE billing_answer SET expires_at = expires_at - %s WHERE request_id IN"
            " (SELECT request_id FROM billing_idempotency WHERE paywall_id = %s)",
            "UPDATE billing_idempotency SET created_at = created_at - %s WHERE paywall_id = %s",
        ):
            assert connection.execute(statement, [age, shop.paywall.pk]).rowcount == 1
    app.loader.import_default_modules()
    for task in FORGETTING:
        assert task in TIMETABLE
        app.tasks[task]()
