"""The way to Stripe's portal, while Stripe or its customer is not what it was."""

import datetime as dt
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from billing.stripe import client, connect, portal
from billing.stripe.models import Customer, StripeAccount
from config.kit import clock
from paywalls.models import EndUser
from proxy.api import portal as api
from tests.factories import ACTOR
from tests.fakes.stripe.keys import seeded
from tests.fakes.stripe.server import Running, running
from tests.proxy.edge import Answer
from tests.proxy.tenant import Tenant

KEY = seeded("rk", "live")
SESSIONS, CONFIGURATIONS = "/v1/billing_portal/sessions", "/v1/billing_portal/configurations"
BUSY = (503, "payment_provider_unavailable")

pytestmark = pytest.mark.proves("F57")


@pytest.fixture(scope="module")
def stand_in() -> Iterator[Running]:
    with running() as program:
        yield program


@pytest.fixture
def stripe(stand_in: Running, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Running:
    """As new. It is asked twice; the wait between two tries is not what is tested."""
    stand_in.test("reset")
    settings.STRIPE_API_BASE = stand_in.url
    monkeypatch.setattr(client, "RETRIES", 1)
    return stand_in


@pytest.fixture
async def member(tenant: Tenant, stripe: Running) -> Tenant:
    """Its user is a customer of Stripe's, who has been to the portal before."""
    await sync_to_async(connect.connect)(tenant.paywall, KEY, actor=ACTOR)
    await tenant.get(f"/v1/user/connect?user={tenant.user}")
    await Customer.objects.acreate(
        account=await StripeAccount.objects.aget(paywall=tenant.paywall),
        user=await EndUser.objects.aget(paywall=tenant.paywall, external_id=tenant.user),
        customer_id=owner(stripe).customers.create().id,
    )
    return tenant


def owner(stripe: Running) -> Any:
    return stripe.client(seeded("sk", "live")).v1


def made(stripe: Running) -> int:
    return len(owner(stripe).events.list({"type": "billing_portal.session.created"}).data)


async def ask(member: Tenant) -> Answer:
    return await member.get(f"/v1/user/portal?user={member.user}")


async def said(member: Tenant) -> tuple[int, str]:
    answer = await ask(member)
    assert set(answer.json["error"]) >= {"message", "type", "param", "code"}
    assert KEY not in answer.body.decode()
    return answer.status, answer.code


@pytest.mark.parametrize("kind", ["429", "500", "timeout"])
async def test_a_failure_is_said_and_the_next_call_works(
    member: Tenant, stripe: Running, monkeypatch, kind: str
):
    assert (await ask(member)).status == 200
    monkeypatch.setattr(portal, "CALL_S", 0.2)
    before = made(stripe)
    stripe.test("faults", kind=kind, path=SESSIONS, times=2 if kind == "timeout" else 1)
    assert await said(member) == BUSY
    assert made(stripe) == before
    assert (await ask(member)).status == 200
    assert made(stripe) == before + 1


async def test_an_answer_that_was_lost_is_asked_for_again(
    member: Tenant, stripe: Running, monkeypatch
):
    assert (await ask(member)).status == 200
    monkeypatch.setattr(portal, "CALL_S", 1)
    before = made(stripe)
    # Of its two calls the first is refused at once, for want of a form.
    stripe.test("faults", kind="timeout_after", path=SESSIONS, times=2)
    assert (await ask(member)).status == 200
    assert made(stripe) == before + 1


async def test_nobody_waits_longer_than_the_deadline(member: Tenant, stripe: Running, monkeypatch):
    monkeypatch.setattr(api, "WITHIN_S", 0.2)
    stripe.test("faults", kind="slow", path=SESSIONS, seconds=3)
    answer = await ask(member)
    assert (answer.status, answer.code) == BUSY
    assert member.app._services
    assert member.app._services.outside.waiting == 1  # Stripe has not answered yet.
    assert answer.headers["retry-after"] == "2"


async def test_while_stripe_is_slow_only_so_many_wait_for_it(
    member: Tenant, stripe: Running, monkeypatch
):
    monkeypatch.setattr(api, "WAITING_MAX", 0)
    stripe.test("calls", method="DELETE")
    assert await said(member) == BUSY
    assert stripe.calls()["total"] == 0


async def test_nothing_listens_at_stripes_address(member: Tenant, stripe, settings, monkeypatch):
    monkeypatch.setattr(client, "RETRIES", 0)
    settings.STRIPE_API_BASE = "http://127.0.0.1:9"
    assert await said(member) == BUSY


@pytest.mark.parametrize("kind", ["500", "500_after"])
async def test_the_portals_form_is_made_once(
    member: Tenant, stripe: Running, monkeypatch, kind: str
):
    fault = {"kind": kind, "path": CONFIGURATIONS, "method": "POST"}
    stripe.http.post(f"{stripe.url}/_test/faults", json=fault)
    assert await said(member) == BUSY
    later = clock.now() + dt.timedelta(minutes=1)
    monkeypatch.setattr(portal, "clock", SimpleNamespace(now=lambda: later))
    for _ in range(2):
        assert (await ask(member)).status == 200
    assert len(owner(stripe).billing_portal.configurations.list().data) == 1


async def test_a_customer_whom_stripe_has_deleted(member: Tenant, stripe: Running):
    customer = await Customer.objects.aget(user__external_id=member.user)
    owner(stripe).customers.delete(customer.customer_id)
    assert await said(member) == (400, "order_not_possible")
    assert owner(stripe).billing_portal.configurations.list().data == []


async def test_a_key_that_was_revoked_stops_payments(member: Tenant, stripe: Running):
    stripe.test("keys", KEY, "revoke")
    assert await said(member) == (502, "payment_key_refused")
    account = await StripeAccount.objects.aget(paywall=member.paywall)
    assert account.stopped_at
    assert account.trouble


async def test_a_permission_that_is_missing_stops_the_portal_alone(member: Tenant, stripe: Running):
    given = stripe.test("keys", key=KEY)["permissions"]
    left = [each for each in given if each != "customer_portal_write"]
    stripe.test("keys", key=KEY, permissions=left)
    assert await said(member) == (502, "payment_key_lacks_permission")
    account = await StripeAccount.objects.aget(paywall=member.paywall)
    assert account.stopped_at is None
    assert account.trouble
