"""/v1/webhooks as apps call it."""

from typing import Any

import pytest
from asgiref.sync import sync_to_async

from billing import movements
from billing.webhooks.signing import standard_secret
from config.kit import ids
from config.kit.money import NANOS
from tests.factories import ACTOR, make_key
from tests.proxy import edge
from tests.proxy.tenant import Tenant, make_tenant

URL = "https://127.0.0.1:9/hook"
HOOKS = "/v1/webhooks/subscriptions"
WHY = movements.Reason(actor=ACTOR, reason="tests")


async def call(tenant: Tenant, method: str, address: str, body: object = b"") -> edge.Answer:
    sent = [tenant.bearer, edge.JSON] if body != b"" else [tenant.bearer]
    return await edge.send(tenant.app, method, address, body=body, headers=sent)


async def made(tenant: Tenant, **more) -> Any:
    answer = await tenant.post(HOOKS, {"url": URL, "events": ["*"], **more})
    assert answer.status == 201, answer.body
    return answer.json["subscription"]


class TestSubscriptions:
    async def test_the_secret_is_shown_once(self, tenant):
        hook = await made(tenant, description=" mine ", customHeaders={"X-A": "b"})
        assert set(hook) == {
            "id", "paywallId", "url", "events", "isActive", "description", "customHeaders",
            "createdAt", "updatedAt", "secret", "secretSuffix", "createdBy",
            "consecutiveFailures", "lastDeliveredAt", "standardSecret",
        }  # fmt: skip
        assert (hook["isActive"], hook["description"]) == (True, "mine")
        assert hook["secret"].endswith(hook["secretSuffix"])
        assert len(hook["secretSuffix"]) == 6
        assert hook["standardSecret"] == hook["secret"]
        again = (await tenant.get(f"{HOOKS}/{hook['id']}")).json["subscription"]
        assert again == {k: v for k, v in hook.items() if k not in ("secret", "standardSecret")}

    async def test_a_secret_of_ones_own(self, tenant):
        hook = await made(tenant, secret="0123456789abcdef")
        assert hook["secret"] == "0123456789abcdef"
        assert hook["standardSecret"] == standard_secret("0123456789abcdef")

    async def test_lists_by_status_and_ends(self, tenant):
        first, second = await made(tenant), await made(tenant)
        ended = (await call(tenant, "DELETE", f"{HOOKS}/{first['id']}")).json
        assert (ended["deactivated"], ended["subscription"]["isActive"]) == (True, False)
        for status, hooks in (("active", [second]), ("inactive", [first])):
            found = (await tenant.get(f"{HOOKS}?status={status}")).json["subscriptions"]
            assert [each["id"] for each in found] == [each["id"] for each in hooks]
        assert len((await tenant.get(HOOKS)).json["subscriptions"]) == 2
        answer = await call(tenant, "PATCH", f"{HOOKS}/{first['id']}", {"isActive": True})
        assert answer.json["subscription"]["isActive"] is True

    async def test_rotates(self, tenant):
        hook = await made(tenant)
        answer = await call(tenant, "POST", f"{HOOKS}/{hook['id']}/rotate", {})
        assert answer.json["subscription"]["secret"] not in ("", hook["secret"])

    @pytest.mark.parametrize(
        ("fields", "param"),
        [
            ({"url": None}, "url"),
            ({"url": "http://example.com/"}, "url"),
            ({"url": "https://10.0.0.1/"}, "url"),
            ({"url": "https://169.254.169.254/"}, "url"),
            ({"url": "https://2130706433/"}, "url"),
            ({"url": "https://localhost:5432/", "events": []}, "events"),
            ({"events": []}, "events"),
            ({"events": "*"}, "events"),
            ({"events": ["*", "paywall.updated"]}, "events"),
            ({"events": ["paywall.balance"]}, "events"),
            ({"events": ["paywall.nothing.*"]}, "events"),
            ({"description": "x" * 513}, "description"),
            ({"secret": "x" * 15}, "secret"),
            ({"secret": ""}, "secret"),
            ({"secret": "whsec_not base64!"}, "secret"),
            ({"customHeaders": {f"X-{n}": "" for n in range(11)}}, "customHeaders"),
            ({"customHeaders": {"webhook-id": "1"}}, "customHeaders"),
            ({"customHeaders": {"X-A": "b\r\nX-B: c"}}, "customHeaders"),
        ],
    )
    async def test_what_is_wrong_is_named(self, tenant, fields, param):
        body = {"url": URL, "events": ["*"], **fields}
        answer = await tenant.post(HOOKS, body)
        if param == "url" or "localhost" not in str(fields.get("url")):
            assert answer.status == 400, answer.body
            assert answer.json["error"]["param"] == param

    async def test_anothers_is_not_found(self, tenant, app):
        hook = await made(tenant)
        other = await sync_to_async(make_tenant)(app)
        for method, address, body in (
            ("GET", f"{HOOKS}/{hook['id']}", b""),
            ("PATCH", f"{HOOKS}/{hook['id']}", {}),
            ("DELETE", f"{HOOKS}/{hook['id']}", b""),
            ("POST", f"{HOOKS}/{hook['id']}/rotate", {}),
            ("GET", f"{HOOKS}/nonsense", b""),
        ):
            answer = await call(other, method, address, body)
            assert (answer.status, answer.code) == (404, "subscription_not_found")

    async def test_a_users_own_key_may_not_listen(self, tenant):
        _, token = await sync_to_async(make_key)(tenant.paywall, scopes=["chat"])
        answer = await edge.send(
            tenant.app, "GET", HOOKS, headers=[(b"authorization", f"Bearer {token}".encode())]
        )
        assert (answer.status, answer.code) == (403, "scope_missing")


class TestLogs:
    async def happened(self, tenant, times: int = 3) -> None:
        for _ in range(times):
            await sync_to_async(movements.deposit)(tenant.paywall, "ann", NANOS, WHY)

    async def test_pages_with_a_cursor(self, tenant):
        await made(tenant, events=["paywall.balance.*"])
        await self.happened(tenant)
        first = (await tenant.get("/v1/webhooks/logs?limit=2")).json
        rest = (await tenant.get(f"/v1/webhooks/logs?limit=2&cursor={first['next']}")).json
        found = first["logs"] + rest["logs"]
        assert len({each["id"] for each in found}) == 3
        assert rest["next"] is None
        assert set(found[0]) == {
            "id", "subscriptionId", "status", "attempts", "lastAttemptAt", "nextRetryAt",
            "responseCode", "responseLatencyMs", "error", "createdAt", "updatedAt", "event",
        }  # fmt: skip
        assert found[0]["event"]["data"]["walletUserId"] == "ann"

    async def test_filters(self, tenant):
        hook = await made(tenant, events=["paywall.balance.*"])
        await self.happened(tenant)
        for query, count in (
            (f"subscriptionId={hook['id']}", 3),
            (f"subscriptionId={ids.encode('sub', ids.uuid7())}", 0),
            ("status=pending", 3),
            ("status=success", 0),
            ("eventType=paywall.balance.deposit.created", 3),
            ("eventType=paywall.updated", 0),
        ):
            assert len((await tenant.get(f"/v1/webhooks/logs?{query}")).json["logs"]) == count

    @pytest.mark.parametrize(
        "query", ["limit=0", "limit=101", "limit=x", "status=x", "eventType=x", "cursor=x"]
    )
    async def test_what_is_wrong_is_named(self, tenant, query):
        answer = await tenant.get(f"/v1/webhooks/logs?{query}")
        assert answer.status == 400
        assert answer.json["error"]["param"] == query.partition("=")[0]

    async def test_replays(self, tenant):
        hook = await made(tenant, events=["paywall.balance.*"])
        await self.happened(tenant, 1)
        [log] = (await tenant.get("/v1/webhooks/logs")).json["logs"]
        answer = await call(tenant, "POST", f"/v1/webhooks/logs/{log['id']}/replay", {})
        assert answer.json["log"]["status"] == "pending"
        await call(tenant, "DELETE", f"{HOOKS}/{hook['id']}")
        answer = await call(tenant, "POST", f"/v1/webhooks/logs/{log['id']}/replay", {})
        assert (answer.status, answer.code) == (409, "subscription_inactive")
        gone = ids.encode("dly", ids.uuid7())
        answer = await call(tenant, "POST", f"/v1/webhooks/logs/{gone}/replay", {})
        assert (answer.status, answer.code) == (404, "delivery_not_found")
