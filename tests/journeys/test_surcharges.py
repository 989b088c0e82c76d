"""Fields that make a provider's bill larger, on the running product: never more than the hold."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import httpx
import pytest
from asgiref.sync import sync_to_async

from config.kit.limits import TOOL_CALLS_MAX
from providers.models import Model
from tests.fakes.upstream import FakeUpstream
from tests.support.asks import chat, looked_up
from tests.support.product import (
    CHARGE,
    COST,
    OUTPUT_NANOS,
    PROMPT_NANOS,
    UNIT,
    Server,
    Shop,
    Wallet,
    make_shop,
)

SEARCH_NANOS = 12_000_000
"""Of one search: the provider's price, and 20 % more."""

SEARCHES = {"plugins": [{"id": "web"}]}
DEAR = [
    {"service_tier": "priority"},
    {"provider": {"only": ["dear"]}},
    {"modalities": ["text", "image"]},
    {"modalities": ["text", "audio"], "audio": {"voice": "ash", "format": "wav"}},
    SEARCHES,
    {"web_search_options": {}},
    {"tools": [{"type": "web_search"}]},
]


@pytest.fixture
def searching(product: Server, fake: FakeUpstream, aftermath: None) -> Shop:
    """A shop whose provider searches, at a price for each time."""
    shop = make_shop(product, fake.url, kind="openrouter")
    found = Model.objects.filter(connection__paywall=shop.paywall)
    found.update(cost=COST | {"tool": 10_000_000})
    return shop


def with_searches(fake: FakeUpstream, count: int) -> None:
    fake.usage = fake.usage | {"server_tool_use": {"web_search_requests": count}}


@pytest.mark.parametrize("field", DEAR, ids=str)
async def test_what_the_price_does_not_cover_is_refused(shop, http, fake, field):
    user = await sync_to_async(shop.funded)()
    answer = await chat(http, shop, user, **field)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] in field
    assert fake.requests == []
    assert shop.wallet(user) == Wallet(UNIT, 0)


@pytest.mark.parametrize("field", [{"models": ["dear"]}, {"route": "fallback"}], ids=str)
async def test_other_models_are_never_named_beside_the_one(shop, http, fake, field):
    user = await sync_to_async(shop.funded)()
    answer = await chat(http, shop, user, **field)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, next(iter(field)))
    assert fake.requests == []


@pytest.mark.parametrize("field", DEAR, ids=str)
async def test_the_owner_can_let_it_pass(product, http, fake, aftermath, field):
    shop = await sync_to_async(make_shop)(product, fake.url, settlement={"surcharges": "pass"})
    user = await sync_to_async(shop.funded)(100 * UNIT)
    assert (await chat(http, shop, user, **field)).status_code == 200
    assert {name: fake.requests[0].json[name] for name in field} == field
    assert shop.wallet(user) == Wallet(100 * UNIT - CHARGE, 0)


async def test_searches_are_held_for_and_charged(searching, http, fake):
    user = await sync_to_async(searching.funded)(UNIT)
    with_searches(fake, TOOL_CALLS_MAX)
    answer = await chat(http, searching, user, **SEARCHES)
    assert searching.wallet(user) == Wallet(UNIT - CHARGE - TOOL_CALLS_MAX * SEARCH_NANOS, 0)
    assert (await looked_up(http, searching, answer))["usage"]["tools"] == TOOL_CALLS_MAX


async def test_who_cannot_pay_for_the_searches_is_asked_to_top_up(searching, http, fake):
    user = await sync_to_async(searching.funded)(TOOL_CALLS_MAX * SEARCH_NANOS)
    assert (await chat(http, searching, user, max_tokens=20)).status_code == 200
    answer = await chat(http, searching, user, max_tokens=20, **SEARCHES)
    assert answer.headers["x-paywall-decision"] == "topup_required"
    assert len(fake.requests) == 1


@pytest.mark.parametrize("asked", [{}, SEARCHES], ids=["unasked", "asked"])
async def test_a_provider_that_searched_absurdly_often_is_not_believed(
    searching, http, fake, asked
):
    user = await sync_to_async(searching.funded)()
    with_searches(fake, 10**9)
    answer = await chat(http, searching, user, **asked)
    found = await looked_up(http, searching, answer)
    assert (found["usageSource"], "tools" in found["usage"]) == ("estimated", False)
    assert searching.wallet(user).posted == UNIT - found["cost"] > UNIT - SEARCH_NANOS


async def test_searches_that_nobody_asked_for_cost_no_more_than_the_hold(searching, http, fake):
    fake.behaviour = "gated"
    user = await sync_to_async(searching.funded)()
    with_searches(fake, 3)
    asking = chat(http, searching, user, max_tokens=20)
    answer, held = await released(searching, user, fake, asking)
    assert held < 3 * SEARCH_NANOS
    assert (await looked_up(http, searching, answer))["cost"] == held
    assert searching.wallet(user) == Wallet(UNIT - held, 0)


async def released(
    shop: Shop, user: str, fake: FakeUpstream, asking: Coroutine[Any, Any, httpx.Response]
) -> tuple[httpx.Response, int]:
    """The answer, and what was held for it."""
    task = asyncio.create_task(asking)
    await fake.wait_requests()
    held = shop.wallet(user).held
    fake.release()
    return await task, held


async def test_a_wrong_prediction_is_paid_like_output_and_held_for(shop, http, fake):
    text = "word " * 1_000
    fake.usage = {
        "prompt_tokens": 9,
        "completion_tokens": 1_005,
        "completion_tokens_details": {"rejected_prediction_tokens": 1_000},
    }
    prediction = {"type": "content", "content": text}
    user = await sync_to_async(shop.funded)()
    answer = await chat(http, shop, user, max_tokens=20, prediction=prediction)
    found = await looked_up(http, shop, answer)
    assert found["usageSource"] == "provider"
    assert found["cost"] == 9 * PROMPT_NANOS + 1_005 * OUTPUT_NANOS
    assert shop.wallet(user) == Wallet(UNIT - found["cost"], 0)
    assert fake.requests[0].json["max_tokens"] == 20
