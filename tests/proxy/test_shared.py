"""Shared mode over the public API."""

from collections.abc import AsyncIterator

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db.models import Sum
from django.test import override_settings

from billing.models import Charge
from billing.types import Payer
from config.kit import clock, ids
from config.kit.money import format_nanos
from ledger.models import Account, Entry
from paywalls import links
from paywalls.models import EndUser, Grant, GrantRequest, Paywall
from providers.models import Model
from tests.factories import PaywallFactory, PriceVersionFactory, make_key
from tests.fakes.upstream import FakeUpstream
from tests.proxy.tenant import Tenant, heard
from tests.proxy.test_paid_request import CHARGE, COST, asked, chat, offer
from tests.support.chats import Client
from tests.support.shared import allow, give, make_person

UNIT = 10**9


@pytest.fixture
async def fake() -> AsyncIterator[FakeUpstream]:
    with override_settings(EGRESS_ALLOW=("127.0.0.0/8",)):
        async with FakeUpstream() as running:
            yield running


@pytest.fixture
async def shop(app, fake) -> Tenant:
    """A Shared paywall that brings its own provider."""
    made = await sync_to_async(make)(app)
    await sync_to_async(offer)(made, fake)
    await heard(app._services.snapshots)
    return made


def make(app, **prices) -> Tenant:
    paywall = PaywallFactory.create(mode=Paywall.Mode.SHARED, name="Poet")
    PriceVersionFactory.create(paywall=paywall, **prices)
    return Tenant(app, paywall, *make_key(paywall))


def connect(shop: Tenant, cap: int = UNIT, **terms):
    """A person with 1 unit whose wallet pays for the shop's user."""
    person = make_person()
    give(person, UNIT)
    return person, allow(person, payer_of(shop), cap, **terms)


connected = sync_to_async(connect)


def payer_of(shop: Tenant) -> Payer:
    return Payer(
        paywall_id=shop.paywall.pk,
        key_id=shop.key.pk,
        livemode=True,
        currency="USD",
        timezone="UTC",
        user=shop.user,
        shared=True,
    )


async def say(shop: Tenant, *headers, **more) -> Client:
    return await chat(shop, asked(shop, **more), Client(), *headers)


class TestMessages:
    async def test_a_new_user_gets_the_link_to_a_wallet(self, shop):
        client = await say(shop)
        answer = client.json
        user = await EndUser.objects.aget(paywall=shop.paywall)
        url = links.authorize_url(user.pk)
        assert answer["paywall"] == {
            "status": "authorization_required",
            "reason": "authorization_required",
            "url": url,
        }
        assert url in answer["choices"][0]["message"]["content"]
        assert answer["usage"]["total_tokens"] == 0
        again = await say(shop)
        assert again.json["paywall"]["url"] == url
        assert await GrantRequest.objects.filter(end_user=user).acount() == 1

    async def test_error_mode_is_a_402(self, shop):
        client = await say(shop, (b"x-paywall-mode", b"error"))
        assert client.status == 402
        assert client.json["error"]["code"] == "authorization_required"

    async def test_the_cap_has_its_own_words(self, shop):
        await connected(shop, cap=1_000)
        client = await say(shop)
        assert client.json["paywall"]["status"] == "cap_reached"
        assert "Poet" in client.json["choices"][0]["message"]["content"]

    async def test_an_empty_wallet_leads_to_the_same_link(self, shop):
        person = await sync_to_async(make_person)()
        await sync_to_async(allow)(person, payer_of(shop))
        client = await say(shop)
        user = await EndUser.objects.aget(paywall=shop.paywall)
        assert client.json["paywall"]["status"] == "topup_required"
        assert client.json["paywall"]["url"] == links.authorize_url(user.pk)
        assert "x-paywall-balance" not in client.headers

    async def test_manual_charges_say_it_too(self, shop):
        answer = await shop.post("/v1/user/charge", {"user": shop.user, "amount": "0.01"})
        assert answer.status == 200
        assert answer.json["success"] is False
        assert answer.json["reason"] == "authorization_required"


class TestPaying:
    async def test_the_wallet_pays_the_developer(self, shop):
        person, _ = await connected(shop)
        client = await say(shop)
        assert client.status == 200
        assert client.headers["x-paywall-cost"] == format_nanos(CHARGE)
        assert "x-paywall-balance" not in client.headers
        assert await got(shop) == {"wallet": -CHARGE, "earnings_pending": CHARGE}
        wallet = await Account.objects.aget(kind="wallet", owner=person.pk)
        assert wallet.posted == UNIT - CHARGE

    @pytest.mark.proves("F73")
    async def test_withdrawn_in_mid_stream_it_is_still_paid(self, shop):
        _, grant = await connected(shop)
        client = Leaver(shop)
        await chat(shop, asked(shop, stream=True), client)
        assert client.events[-1] == "[DONE]"
        assert client.withdrawn == {
            "success": True,
            "message": "The wallet does not pay for this user any more.",
        }
        assert (await got(shop))["wallet"] == -CHARGE
        assert (await Grant.objects.aget(pk=grant.pk)).revoked_by == ids.encode("key", shop.key.pk)
        assert (await say(shop)).json["paywall"]["status"] == "authorization_required"

    async def test_the_built_in_provider_is_the_operators(self, app, fake):
        with override_settings(BUILT_IN_PROVIDER="demo", DEMO_PROVIDER_URL=fake.url):
            shop = await sync_to_async(make)(app)
            await sync_to_async(stock)()
            await heard(app._services.snapshots)
            await connected(shop)
            client = await say(shop, model="built-in-model")
            assert client.status == 200, client.body
            cost = CHARGE * 10 // 12
            assert await got(shop) == {
                "wallet": -CHARGE,
                "provider_cost": cost,
                "earnings_pending": CHARGE - cost,
            }

    async def test_both_ways_side_by_side(self, app, fake, shop):
        with override_settings(BUILT_IN_PROVIDER="demo", DEMO_PROVIDER_URL=fake.url):
            other = await sync_to_async(make)(app)
            await sync_to_async(stock)()
            await heard(app._services.snapshots)
            person, _ = await connected(shop)
            await sync_to_async(allow)(person, payer_of(other))
            for each, model in ((shop, "model"), (other, "built-in-model")):
                assert (await say(each, model=model)).status == 200
        assert "provider_cost" not in await got(shop)
        assert "provider_cost" in await got(other)
        wallet = await Account.objects.aget(kind="wallet", owner=person.pk)
        assert wallet.posted == UNIT - 2 * CHARGE

    async def test_what_sells_below_the_operators_cost_is_not_sold(self, app, fake):
        with override_settings(BUILT_IN_PROVIDER="demo", DEMO_PROVIDER_URL=fake.url):
            cheap = [{"match": "default", "value": "", "basis": "own", "rates": {"prompt": 1}}]
            shop = await sync_to_async(make)(app, rules=cheap)
            await sync_to_async(stock)()
            await heard(app._services.snapshots)
            client = await say(shop, model="built-in-model")
            assert client.json["error"]["code"] == "model_not_priced"


class TestReads:
    async def test_connect_gives_a_link_until_a_wallet_pays(self, shop):
        address = f"/v1/user/connect?user={shop.user}"
        before = (await shop.get(address)).json
        assert before["connected"] is False
        assert before["url"].startswith(f"{settings.BASE_URL}/authorize/")
        _, grant = await connected(shop)
        after = (await shop.get(address)).json
        assert after["connected"] is True
        assert after["connectedUser"]["externalUserId"] == shop.user
        assert after["connectedUser"]["createdAt"] == clock.wire(grant.created_at)
        assert (await shop.get(f"/v1/user/disconnect?user={shop.user}")).json["success"]
        assert (await shop.get(address)).json["url"] == before["url"]
        assert not (await shop.get(f"/v1/user/disconnect?user={shop.user}")).json["success"]

    async def test_the_balance_is_what_this_app_may_spend(self, shop):
        assert await shop.balance() == "0"
        await connected(shop, cap=UNIT // 2)
        assert await shop.balance() == "500000"
        await shop.post("/v1/user/charge", {"user": shop.user, "amount": "0.4"})
        assert await shop.balance() == "100000"

    async def test_the_history_is_of_this_app_alone(self, shop, app):
        person, _ = await connected(shop)
        other = await sync_to_async(make)(app)
        await sync_to_async(allow)(person, payer_of(other))
        for each in (shop, other):
            charged = await each.post("/v1/user/charge", {"user": each.user, "amount": "0.1"})
            assert charged.json["success"], charged.body
        page = (await shop.get(f"/v1/user/history?user={shop.user}")).json
        (line,) = page["data"]
        assert (line["amount"], line["balanceAfter"]) == ("-0.1", None)
        receipt = (await shop.get(f"/v1/receipts/{line['id']}")).json
        assert receipt["split"] == {
            "providerCost": "0",
            "platformFee": "0",
            "developerEarnings": "0.1",
        }
        assert receipt["balanceAfter"] is None
        assert receipt["user"] == shop.user
        theirs = await other.get(f"/v1/receipts/{line['id']}")
        assert theirs.status == 404

    async def test_a_long_history_has_pages(self, shop):
        await connected(shop)
        for _ in range(3):
            await shop.post("/v1/user/charge", {"user": shop.user, "amount": "0.1"})
        everything = await Charge.objects.filter(paywall_id=shop.paywall.pk).acount()
        assert everything == 3
        found, payer = [], payer_of(shop)
        before = None
        while True:
            page = await shop.app._services.reads.history(payer, before=before, rows=1)
            found += [each.transaction_id for each in page.items]
            before = page.next
            if before is None:
                break
        assert len(found) == len(set(found)) == 3
        assert found == sorted(found, reverse=True)

    @pytest.mark.proves("B27")
    async def test_deposits_are_refused(self, shop):
        body = {"user": shop.user, "amount": "1"}
        answer = await shop.post("/v1/user/balance/deposit", body)
        assert (answer.status, answer.json["error"]["code"]) == (403, "wrong_mode")

    async def test_links_lead_to_the_persons_own_pages(self, shop):
        topup = (await shop.get(f"/v1/user/balance/topup?user={shop.user}")).json["url"]
        assert topup.startswith(f"{settings.BASE_URL}/authorize/")
        menu = (await shop.get(f"/v1/user/menu?user={shop.user}")).json
        assert menu == {
            "topup": topup,
            "activity": f"{settings.BASE_URL}/wallet/activity",
            "wallet": f"{settings.BASE_URL}/wallet",
        }

    async def test_a_quote_knows_the_cap(self, shop):
        await connected(shop, cap=30_000)
        quote = (await shop.post("/v1/quote", asked(shop))).json
        assert 0 < quote["affordableMaxTokens"] < 30


class Leaver(Client):
    """Has its grant withdrawn at the first piece of an answer."""

    def __init__(self, shop: Tenant) -> None:
        super().__init__()
        self.shop = shop
        self.withdrawn = None

    async def send(self, message):
        await super().send(message)
        if message["type"] == "http.response.body" and self.withdrawn is None:
            self.withdrawn = {}
            address = f"/v1/user/disconnect?user={self.shop.user}"
            self.withdrawn = (await self.shop.get(address)).json


def stock() -> None:
    Model.objects.get_or_create(
        kind="demo", connection=None, name="built-in-model", cost=COST, source="tests"
    )


async def got(shop: Tenant) -> dict[str, int]:
    """What each kind of account got of the paywall's charges."""
    charges = Charge.objects.filter(paywall_id=shop.paywall.pk).values("pk")
    rows = Entry.objects.filter(transaction_id__in=charges).values("account__kind")
    return {row["account__kind"]: row["nanos"] async for row in rows.annotate(nanos=Sum("amount"))}
