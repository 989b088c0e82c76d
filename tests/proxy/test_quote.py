"""What a chat would cost: the same figures that the chat then meets."""

from decimal import Decimal

import pytest

from paywalls.models import EndUser
from tests.proxy.test_reads import change, connect

MESSAGES = [{"role": "user", "content": "How much is this?"}]


@pytest.fixture(autouse=True)
async def _connected(tenant):
    await change(tenant, lambda: connect(tenant))


async def quote(tenant, **more):
    body = {"model": "demo/small", "user": tenant.user, "messages": MESSAGES} | more
    return await tenant.post("/v1/quote", body)


async def test_a_quote_spans_from_one_token_to_what_would_be_held(tenant):
    answer = await quote(tenant, max_tokens=1_000)
    assert answer.status == 200, answer.body
    said = answer.json
    # Output costs 2.4 a million: a thousand tokens, and the prompt, are the most.
    assert 0 < Decimal(said["min"]) < Decimal("0.0024") < Decimal(said["max"]) < Decimal("0.0025")
    assert said["currency"] == "usd"
    assert said["priceVersion"].startswith("prc_")
    assert said["affordableMaxTokens"] == 0


async def test_what_a_balance_pays_for_is_said_in_tokens(tenant):
    deposit = {"user": tenant.user, "amount": "0.0012"}
    assert (await tenant.post("/v1/user/balance/deposit", deposit)).status == 200
    said = (await quote(tenant, max_tokens=1_000)).json
    assert 450 < said["affordableMaxTokens"] < 500
    assert (await quote(tenant, max_tokens=10)).json["affordableMaxTokens"] == 10


async def test_nothing_is_made_or_held(tenant):
    await quote(tenant)
    assert not await EndUser.objects.filter(paywall_id=tenant.paywall.pk).aexists()


async def test_the_callers_own_limit_bounds_it(tenant):
    body = {"model": "demo/small", "user": tenant.user, "messages": MESSAGES}
    answer = await tenant.post("/v1/quote", body, (b"x-paywall-max-cost", b"0.001"))
    assert Decimal(answer.json["max"]) == Decimal("0.001")


@pytest.mark.parametrize(
    ("body", "status"),
    [({"model": "nobody/knows"}, 404), ({"model": "demo/costless"}, 400), ({"messages": []}, 400)],
)
async def test_what_a_chat_refuses_a_quote_refuses(tenant, body, status):
    assert (await quote(tenant, **body)).status == status
