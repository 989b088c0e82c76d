"""Users without money, while nobody can pay: they read so, and no link that ends in an error."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import orjson
import pytest
from asgiref.sync import sync_to_async
from django.core import mail
from django.test import Client as Browser
from django.test import override_settings

from billing import tasks
from billing.stripe import connect, stops
from billing.stripe.models import StripeAccount
from config.kit import clock
from paywalls.links import checkout_token
from paywalls.models import EndUser, MessageTemplate
from tests.factories import ACTOR, MembershipFactory
from tests.fakes.stripe.keys import seeded
from tests.fakes.stripe.server import Running, running
from tests.fakes.upstream import FakeUpstream
from tests.proxy.tenant import Tenant, heard
from tests.proxy.test_paid_request import asked, chat, offer
from tests.support.chats import Client

KEY = seeded("rk", "live")
SAID = "payments are unavailable just now"
ERROR_MODE = (b"x-paywall-mode", b"error")

pytestmark = pytest.mark.proves("F58")


@pytest.fixture(scope="module")
def stand_in() -> Iterator[Running]:
    with running() as program:
        yield program


@pytest.fixture
def stripe(stand_in: Running, settings: Any) -> Running:
    stand_in.test("reset")
    settings.STRIPE_API_BASE = stand_in.url
    return stand_in


@pytest.fixture
async def fake() -> AsyncIterator[FakeUpstream]:
    with override_settings(EGRESS_ALLOW=("127.0.0.0/8",)):
        async with FakeUpstream() as upstream:
            yield upstream


@pytest.fixture
async def shop(tenant: Tenant, stripe: Running, fake: FakeUpstream) -> Tenant:
    """A paywall with an owner, a model to sell and a key of Stripe's; its user has nothing."""
    await sync_to_async(stock)(tenant, fake)
    return tenant


def stock(tenant: Tenant, fake: FakeUpstream) -> None:
    offer(tenant, fake)
    MembershipFactory.create(team=tenant.paywall.team)
    connect.connect(tenant.paywall, KEY, actor=ACTOR)


async def hear(shop: Tenant) -> None:
    assert shop.app._services
    await heard(shop.app._services.snapshots)


async def now(shop: Tenant, work: Any, *arguments: Any) -> Any:
    """Does something in the database, and lets the process hear of it."""
    result = await sync_to_async(work)(*arguments)
    await hear(shop)
    return result


async def refusal(shop: Tenant, **more: Any) -> Any:
    client = await chat(shop, asked(shop, **more), Client())
    return client.json["paywall"], client.json["choices"][0]["message"]["content"]


def click(shop: Tenant) -> int:
    """Somebody opens the link; the status of what they see."""
    user = EndUser.objects.get(paywall=shop.paywall, external_id=shop.user)
    return Browser().get(f"/pay/{checkout_token(user.pk)}").status_code


def mind(shop: Tenant) -> None:
    """The worker's turn, five minutes later."""
    mine = StripeAccount.objects.filter(paywall=shop.paywall)
    mine.update(checked_at=clock.now() - stops.TRY_AFTER)
    tasks.mind_stripe_accounts()


def examine(shop: Tenant) -> None:
    """As every night."""
    connect.check(StripeAccount.objects.select_related("paywall").get(paywall=shop.paywall))


def letters(shop: Tenant) -> list[mail.EmailMessage]:
    """What the paywall's owner was sent."""
    owner = shop.paywall.team.members.get().email
    return [sent for sent in mail.outbox if sent.to == [owner]]


async def test_every_form_of_refusal_says_so_without_a_link(shop: Tenant, stripe: Running):
    notice, said = await refusal(shop)
    assert "/v1/checkout/" in said
    stripe.test("keys", KEY, "revoke")
    assert await now(shop, click, shop) == 503
    stripe.test("calls", method="DELETE")
    notice, said = await refusal(shop)
    assert notice == {
        "status": "topup_required",
        "reason": "payments_unavailable",
        "url": None,
    }
    assert SAID in said
    assert "have been told" in said
    assert "http" not in said
    _, said = await refusal(shop, response_format={"type": "json_object"})
    assert orjson.loads(said)["url"] is None
    stream = await chat(shop, asked(shop, stream=True), Client())
    assert SAID in stream.text
    assert stream.events[-1] == "[DONE]"
    error = await chat(shop, asked(shop), Client(), ERROR_MODE)
    assert (error.status, error.json["error"]["code"]) == (402, "topup_required")
    assert error.json["error"]["reason"] == "payments_unavailable"
    assert error.json["error"]["url"] is None
    charge = await shop.post("/v1/user/charge", {"user": shop.user, "amount": "1"})
    assert SAID in charge.json["message"]
    assert (charge.json["url"], charge.json["reason"]) == (None, "payments_unavailable")
    for _ in range(1_000):
        await shop.post("/v1/user/charge", {"user": shop.user, "amount": "1"})
    assert stripe.calls()["total"] == 0


async def test_the_owner_is_told_once_and_it_recovers_by_itself(shop: Tenant, stripe: Running):
    await refusal(shop)
    stripe.test("keys", KEY, "revoke")
    await now(shop, click, shop)
    for _ in range(3):
        await now(shop, mind, shop)
    (sent,) = await sync_to_async(letters)(shop)
    assert "have stopped" in sent.subject
    assert "does not accept the key" in sent.body
    assert KEY not in sent.body
    assert SAID in (await refusal(shop))[1]
    stripe.test("keys", KEY, "restore")
    await now(shop, mind, shop)
    assert "/v1/checkout/" in (await refusal(shop))[1]
    account = await StripeAccount.objects.aget(paywall=shop.paywall)
    assert (account.trouble, account.stopped_at, account.told_at) == ("", None, None)
    assert len(await sync_to_async(letters)(shop)) == 1


async def test_an_account_that_may_take_no_payments(shop: Tenant, stripe: Running):
    """Its key passes every examination, so only a payment's page tells."""
    await refusal(shop)
    stripe.test("faults", kind="restricted", path="/v1/checkout/sessions", method="POST", times=99)
    assert await now(shop, click, shop) == 503
    assert SAID in (await refusal(shop))[1]
    await now(shop, mind, shop)
    assert SAID in (await refusal(shop))[1]
    stripe.test("faults", method="DELETE")
    await now(shop, mind, shop)
    assert "/v1/checkout/" in (await refusal(shop))[1]
    made = stripe.client(seeded("sk", "live")).v1.checkout.sessions.list().data
    assert [session.status for session in made] == ["expired"]


@pytest.mark.parametrize(
    ("permission", "is_stopped"),
    [
        ("checkout_session_write", True),
        ("payment_intent_write", True),
        ("dispute_write", False),
        ("customer_portal_write", False),
    ],
)
async def test_only_what_payments_need_stops_them(
    shop: Tenant, stripe: Running, permission: str, is_stopped: bool
):
    key = stripe.test("keys", key=KEY)
    left = [each for each in key["permissions"] if each != permission]
    assert len(left) < len(key["permissions"])
    stripe.test("keys", key=KEY, permissions=left)
    await sync_to_async(examine)(shop)
    await now(shop, mind, shop)
    assert (SAID in (await refusal(shop))[1]) is is_stopped
    assert len(await sync_to_async(letters)(shop)) == 1


async def test_who_knows_of_a_lesser_trouble_is_told_when_payments_stop(
    shop: Tenant, stripe: Running
):
    key = stripe.test("keys", key=KEY)
    left = [each for each in key["permissions"] if each != "dispute_write"]
    stripe.test("keys", key=KEY, permissions=left)
    await refusal(shop)
    for subjects in (["need repair"], ["need repair", "have stopped"]):
        await sync_to_async(examine)(shop)
        await now(shop, mind, shop)
        sent = [letter.subject for letter in await sync_to_async(letters)(shop)]
        assert [subject.partition(shop.paywall.name + " ")[2] for subject in sent] == subjects
        stripe.test("keys", KEY, "revoke")


async def test_payments_that_were_switched_off(shop: Tenant):
    account = await StripeAccount.objects.aget(paywall=shop.paywall)
    await StripeAccount.objects.filter(pk=account.pk).aupdate(is_active=False)
    await hear(shop)
    assert SAID in (await refusal(shop))[1]
    await StripeAccount.objects.filter(pk=account.pk).aupdate(is_active=True)
    await hear(shop)
    assert "/v1/checkout/" in (await refusal(shop))[1]


async def test_a_paywall_that_never_took_payments_keeps_its_link(tenant: Tenant, fake):
    await now(tenant, offer, tenant, fake)
    assert "/v1/checkout/" in (await refusal(tenant))[1]


async def test_in_the_owners_own_words(shop: Tenant):
    event = MessageTemplate.Event.PAYMENTS_UNAVAILABLE
    await MessageTemplate.objects.acreate(
        paywall=shop.paywall, event=event, text="{{name}}: no money today."
    )
    await StripeAccount.objects.filter(paywall=shop.paywall).aupdate(stopped_at=clock.now())
    await hear(shop)
    assert (await refusal(shop))[1] == f"{shop.paywall.name}: no money today."
