"""What the API shows: models, connections, and what a request came to."""

import pytest
from asgiref.sync import sync_to_async

from billing.stripe.models import StripeAccount
from config.kit import ids
from config.kit.money import parse_nanos
from paywalls.links import checkout_url
from paywalls.models import ModelAlias, Paywall, PriceVersion
from providers.models import Model
from tests.factories import ConnectionFactory, make_key
from tests.fakes.upstream import FakeUpstream
from tests.proxy.tenant import Tenant, heard, make_tenant

MTOK_COST = {"prompt": 1_000_000_001, "completion": 2_000_000_000, "cached": 500_000_000}


def connect(tenant: Tenant, url: str = "http://127.0.0.1:9/v1") -> None:
    made = ConnectionFactory.create(
        paywall=tenant.paywall, name="demo", kind="compatible", base_url=url
    )
    for name, cost in (("small", MTOK_COST), ("large", MTOK_COST), ("costless", None)):
        Model.objects.create(
            kind=made.kind,
            connection=made,
            name=name,
            cost=cost,
            source="tests",
            context_tokens=8_192,
        )


async def change(tenant: Tenant, work) -> None:
    """Change the configuration, and return when the process has heard of it."""
    await sync_to_async(work)()
    assert tenant.app._services
    await heard(tenant.app._services.snapshots)


async def listed(tenant: Tenant) -> list[str]:
    answer = await tenant.get("/v1/models")
    assert answer.status == 200
    return [model["id"] for model in answer.json["data"]]


class TestModels:
    @pytest.fixture(autouse=True)
    async def _connected(self, tenant):
        await change(tenant, lambda: connect(tenant))

    async def test_prices_are_after_markup_and_rounded_up(self, tenant):
        answer = await tenant.get("/v1/models")
        model = next(m for m in answer.json["data"] if m["id"] == "demo/small")
        assert model["object"] == "model"
        assert model["context_length"] == 8_192
        assert model["pricing"] == {
            "prompt": "1.200000002",
            "completion": "2.4",
            "request": "0",
            "minimum": "0",
            "input_cache_read": "0.6",
        }

    async def test_what_has_no_price_is_left_out(self, tenant):
        assert await listed(tenant) == ["demo/large", "demo/small"]

    async def test_aliases_are_models_too(self, tenant):
        await change(
            tenant,
            lambda: ModelAlias.objects.create(
                paywall=tenant.paywall, alias="fast", target="demo/small"
            ),
        )
        assert await listed(tenant) == ["demo/large", "demo/small", "fast"]

    async def test_only_what_the_paywall_allows(self, tenant):
        paywalls = Paywall.objects.filter(pk=tenant.paywall.pk)
        await change(tenant, lambda: paywalls.update(allowed_models=["demo/s*"]))
        assert await listed(tenant) == ["demo/small"]

    async def test_only_what_the_key_allows_and_each_key_its_own(self, tenant):
        assert len(await listed(tenant)) == 2
        _, tenant.token = await sync_to_async(make_key)(
            tenant.paywall, allowed_models=["demo/large"]
        )
        assert await listed(tenant) == ["demo/large"]

    async def test_new_prices_show_at_once(self, tenant):
        await listed(tenant)
        await change(
            tenant,
            lambda: PriceVersion.objects.create(
                paywall=tenant.paywall, number=2, rules=[], actor="command:tests"
            ),
        )
        assert await listed(tenant) == []


class TestConnect:
    async def test_it_makes_the_user_once(self, tenant):
        one, two = [await tenant.get(f"/v1/user/connect?user={tenant.user}") for _ in range(2)]
        assert one.json == two.json
        user = one.json["connectedUser"]
        assert one.json["connected"] is True
        assert user["externalUserId"] == tenant.user
        assert user["paywallKeyId"] == tenant.key.public_id
        assert ids.decode("usr", user["userId"])

    @pytest.mark.parametrize("body", [b"", {}, {"user": "u"}])
    async def test_there_is_nothing_to_revoke(self, tenant, body):
        by_get = await tenant.get("/v1/user/disconnect?user=u")
        by_post = await tenant.post("/v1/user/disconnect", body, (b"x-paywall-user", b"u"))
        assert by_get.json == by_post.json
        assert (by_post.status, by_post.json["success"]) == (200, False)


class TestBalance:
    async def test_looking_creates_nothing(self, tenant):
        answer = await tenant.get(f"/v1/user/balance?user={tenant.user}")
        assert answer.json == {"balance": "0", "balanceFormatted": "0.000000"}
        users = await sync_to_async(tenant.paywall.end_users.count)()
        assert users == 0

    async def test_it_is_rounded_down(self, tenant):
        await tenant.post(
            "/v1/user/balance/deposit", {"user": tenant.user, "amount": "12.345678999"}
        )
        answer = await tenant.get(f"/v1/user/balance?user={tenant.user}")
        assert answer.json == {"balance": "12345678", "balanceFormatted": "12.345678"}

    async def test_there_is_no_way_to_pay_without_a_key_of_stripe(self, tenant):
        answer = await tenant.get("/v1/user/balance/topup?user=u")
        assert (answer.status, answer.code) == (400, "payments_not_configured")

    async def test_with_one_it_is_the_link_of_messages(self, tenant):
        await sync_to_async(StripeAccount.objects.create)(
            paywall=tenant.paywall, livemode=True, path=ids.uuid7().hex, sealed_key=b""
        )
        first, again = [
            (await tenant.get(f"/v1/user/balance/topup?user={tenant.user}")).json for _ in range(2)
        ]
        assert first == again
        user = await sync_to_async(tenant.paywall.end_users.get)(external_id=tenant.user)
        assert first == {"url": checkout_url(user.pk)}


class TestAfterAChat:
    @pytest.fixture
    async def request_id(self, tenant, fake: FakeUpstream) -> str:
        await change(tenant, lambda: connect(tenant, fake.url))
        deposit = {"user": tenant.user, "amount": "5"}
        await tenant.post("/v1/user/balance/deposit", deposit)
        body = {
            "model": "demo/small",
            "user": tenant.user,
            "messages": [{"role": "user", "content": "Hello"}],
        }
        answer = await tenant.post("/v1/chat/completions", body)
        assert answer.status == 200, answer.body
        assert answer.headers["x-paywall-decision"] == "allowed"
        made: str = answer.headers["x-request-id"]
        return made

    async def test_the_request_says_what_it_cost(self, tenant, request_id: str):
        shown = (await tenant.get(f"/v1/requests/{request_id}")).json
        assert (shown["id"], shown["status"]) == (request_id, "completed")
        assert (shown["usageSource"], shown["model"]) == ("provider", "demo/small")
        paid = 5_000_000 - int(await tenant.balance())
        cost_nanos = parse_nanos(shown["cost"])
        assert cost_nanos
        assert 0 <= paid * 1_000 - cost_nanos < 1_000

    async def test_usage_adds_up(self, tenant, request_id: str):
        cost = (await tenant.get(f"/v1/requests/{request_id}")).json["cost"]
        for period in ("day", "week", "month", "all"):
            shown = await tenant.get(f"/v1/user/usage?user={tenant.user}&period={period}")
            assert (shown.json["period"], shown.json["spent"]) == (period, cost)
            assert shown.json["requests"] == 1
            assert [group["spent"] for group in shown.json["byModel"]] == [cost]
            assert [group["spent"] for group in shown.json["byDay"]] == [cost]

    async def test_an_unknown_period(self, tenant):
        answer = await tenant.get("/v1/user/usage?user=u&period=year")
        assert (answer.status, answer.json["error"]["param"]) == (400, "period")

    async def test_other_keys_do_not_see_it(self, tenant, request_id: str, app):
        other = await sync_to_async(make_tenant)(app)
        assert (await other.get(f"/v1/requests/{request_id}")).status == 404
        _, tenant.token = await sync_to_async(make_key)(tenant.paywall, livemode=False)
        assert (await tenant.get(f"/v1/requests/{request_id}")).status == 404

    @pytest.mark.parametrize("name", ["req_", "x", "req_" + "0" * 26, "key_" + "0" * 26])
    async def test_unknown_requests(self, tenant, name: str):
        answer = await tenant.get(f"/v1/requests/{name}")
        assert (answer.status, answer.code) == (404, "not_found")
