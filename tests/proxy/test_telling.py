"""A refusal by a rule is told to who listens, and waited for by nobody."""

from asgiref.sync import sync_to_async

from billing import movements
from billing.webhooks.envelope import event_of
from billing.webhooks.logs import page
from config.kit import ids
from config.kit.money import NANOS
from proxy import telling
from tests.factories import ACTOR
from tests.proxy.tenant import heard
from tests.support.chats import Client, Wall, endpoint, model, request

WHY = movements.Reason(actor=ACTOR, reason="tests")
HOOKS = "/v1/webhooks/subscriptions"


async def refuse(tenant, *events: str) -> list[dict[str, object]]:
    """Events of the tenant after its call was refused."""
    for event in events:
        body = {"url": "https://127.0.0.1:9/hook", "events": [event]}
        assert (await tenant.post(HOOKS, body)).status == 201
    services = tenant.app._services
    await heard(services.snapshots)
    await sync_to_async(movements.deposit)(tenant.paywall, "ann", NANOS, WHY)
    wall = Wall(models=[model(endpoint())])
    call = wall.call(request(), Client(), user="ann")
    call.caller = await services.snapshots.caller(tenant.token)
    telling.blocked(services, call, "model_not_allowed")
    while services.gate._tasks:
        await next(iter(services.gate._tasks))
    rows = await sync_to_async(page)(tenant.paywall.pk, limit=10, type_=telling.TYPE)
    assert not telling._under_way
    return [event_of(row) | {"asked": ids.encode("req", call.request_id)} for row in rows]


async def test_it_names_the_request_the_user_and_the_rule(tenant):
    [event] = await refuse(tenant, telling.TYPE)
    data = event["data"]
    assert data["requestId"] == event["asked"]
    assert (data["walletUserId"], data["reason"]) == ("ann", "model_not_allowed")
    assert event["trigger"]["actorType"] == "api_key"


async def test_where_nobody_listens_nothing_is_asked(tenant, monkeypatch):
    monkeypatch.setattr(telling, "_tell", None)
    assert await refuse(tenant) == []
