"""What happened on a wallet, over the API and on the pages behind its links."""

from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
from asgiref.sync import sync_to_async
from django.test import Client as Browser
from django.test import override_settings

from billing import movements
from billing.models import Charge
from config.kit import ids
from paywalls import links
from paywalls.models import EndUser
from tests.factories import PaywallFactory, make_key
from tests.fakes.upstream import FakeUpstream
from tests.proxy.tenant import Tenant
from tests.proxy.test_paid_request import CHARGE, asked, chat, deposit, offer
from tests.support.chats import Client

COST = Decimal(CHARGE) / 10**9


@pytest.fixture
async def shop(tenant: Tenant) -> AsyncIterator[Tenant]:
    """A tenant with a model to sell and a user with 1 unit."""
    with override_settings(EGRESS_ALLOW=("127.0.0.0/8",)):
        async with FakeUpstream() as fake:
            await sync_to_async(offer)(tenant, fake)
            await deposit(tenant, tenant.user, "1")
            yield tenant


async def run(shop: Tenant, run: str = "", feature: str = "") -> Client:
    labels = {b"x-paywall-run": run, b"x-paywall-feature": feature}
    headers = [(name, value.encode()) for name, value in labels.items() if value]
    client = await chat(shop, asked(shop), Client(), *headers)
    assert client.status == 200
    return client


async def history(shop: Tenant, more: str = ""):
    answer = await shop.get(f"/v1/user/history?user={shop.user}{more}")
    assert answer.status == 200, answer.body
    return answer.json


async def page(address: str):
    """As somebody's browser gets it, without a login."""
    path = address.partition("://")[2].partition("/")[2]
    return await sync_to_async(Browser(raise_request_exception=False).get)(f"/{path}")


class TestHistory:
    async def test_it_says_what_each_movement_was_for(self, shop):
        client = await run(shop, "book", "summary")
        charge, credit = (await history(shop))["data"]
        assert (charge["type"], Decimal(charge["amount"])) == ("charge", -COST)
        assert Decimal(charge["balanceAfter"]) == 1 - COST
        assert (charge["model"], charge["run"]) == ("fake/model", "book")
        assert charge["feature"] == "summary"
        assert charge["requestId"] == client.headers["x-request-id"]
        assert (credit["type"], credit["amount"], credit["model"]) == ("deposit", "1", None)

    async def test_totals_are_by_run_and_by_feature_and_of_this_user_alone(self, shop):
        for name, feature in (("book", "a"), ("book", "b"), ("letter", "a"), ("", "")):
            await run(shop, name, feature)
        totals = (await history(shop))["totals"]
        runs = {each["run"]: (each["requests"], each["spent"]) for each in totals["byRun"]}
        features = {each["feature"]: each["requests"] for each in totals["byFeature"]}
        assert {name: requests for name, (requests, _) in runs.items()} == {"book": 2, "letter": 1}
        assert Decimal(runs["book"][1]) == 2 * COST
        assert features == {"a": 2, "b": 1}
        assert [each["run"] for each in totals["byRun"]] == ["letter", "book"]
        assert totals["since"] is None
        shop.user = "other"
        await deposit(shop, "other", "1")
        await run(shop, "mine")
        theirs = (await history(shop))["totals"]
        assert [each["run"] for each in theirs["byRun"]] == ["mine"]
        assert theirs["byFeature"] == []

    async def test_totals_stop_at_their_bound_and_say_where(self, shop, monkeypatch):
        monkeypatch.setattr("billing.reads.TOTALS_OF", 2)
        monkeypatch.setattr("billing.history.TOTALS_OF", 2)
        for _ in range(3):
            await run(shop, "book")
        totals = (await history(shop))["totals"]
        assert totals["byRun"][0]["requests"] == 2
        assert totals["since"]

    async def test_pages_follow_each_other(self, tenant):
        for _ in range(51):
            await deposit(tenant, tenant.user, "0.1")
        first = await history(tenant)
        rest = await history(tenant, f"&cursor={first['next']}")
        assert (len(first["data"]), len(rest["data"]), rest["next"]) == (50, 1, None)
        assert "totals" not in rest
        assert len({line["id"] for line in first["data"] + rest["data"]}) == 51

    @pytest.mark.parametrize("cursor", ["", "x", "-1", "0", "1" * 20, "9" * 19, "%C2%B2"])
    async def test_other_cursors_are_refused(self, tenant, cursor):
        answer = await tenant.get(f"/v1/user/history?user={tenant.user}&cursor={cursor}")
        assert (answer.status, answer.json["error"]["param"]) == (400, "cursor")


class TestReceipts:
    async def test_its_items_add_up_and_the_request_links_to_it(self, shop):
        client = await run(shop)
        line = (await history(shop))["data"][0]
        found = (await shop.get(f"/v1/receipts/{line['id']}")).json
        assert sum(Decimal(item["amount"]) for item in found["items"]) == COST
        assert Decimal(found["total"]) == COST
        assert [item["name"] for item in found["items"]] == ["prompt", "completion", "markup"]
        assert (found["balanceBefore"], found["currency"]) == ("1", "usd")
        assert found["policy"] == "completed:usage"
        assert found["priceVersion"].startswith("prc_")
        request = (await shop.get(f"/v1/requests/{client.headers['x-request-id']}")).json
        assert request["receiptUrl"] == line["receiptUrl"] == found["receiptUrl"]

    async def test_others_do_not_get_it(self, tenant):
        await deposit(tenant, tenant.user, "1")
        address = f"/v1/receipts/{(await history(tenant))['data'][0]['id']}"
        assert (await tenant.get(address)).status == 200
        elsewhere = await sync_to_async(lambda: make_key(PaywallFactory.create()))()
        own, other_user = tenant.token, await sync_to_async(_bound)(tenant)
        for token in (elsewhere[1], other_user):
            tenant.token = token
            assert (await tenant.get(address)).status == 404
        tenant.token = own
        for wrong in (ids.encode("txn", ids.uuid7()), ids.encode("req", ids.uuid7()), "x"):
            assert (await tenant.get(f"/v1/receipts/{wrong}")).status == 404

    async def test_its_page_needs_no_login_and_names_no_user(self, shop):
        await run(shop)
        line = (await history(shop))["data"][0]
        shown = await page(line["receiptUrl"])
        text = shown.content.decode()
        assert shown.status_code == 200
        assert line["amount"].removeprefix("-") in text
        assert line["id"] in text
        assert shop.user not in text
        assert shown["Cache-Control"] == "no-store"
        assert shown["X-Robots-Tag"] == "noindex, nofollow"

    async def test_an_id_alone_opens_no_page(self, tenant):
        await deposit(tenant, tenant.user, "1")
        line = (await history(tenant))["data"][0]
        transaction_id = ids.decode("txn", line["id"])
        assert transaction_id
        user = await EndUser.objects.aget(paywall=tenant.paywall)
        token = line["receiptUrl"].rpartition("/")[2]
        changed = ("b" if token[-3] != "b" else "c").join((token[:-3], token[-2:]))
        for other in (line["id"], changed, links.checkout_token(transaction_id), "é"):
            assert (await page(f"x://y/receipt/{other}")).status_code == 404
        assert (await page(f"x://y/pay/{token}")).status_code == 404
        assert (await page(f"x://y/wallet/{token}")).status_code == 404
        wallet = links.wallet_url(user.pk).rpartition("/")[2]
        assert (await page(f"x://y/receipt/{wallet}")).status_code == 404

    async def test_a_charge_that_was_refunded_says_so_on_its_page(self, tenant):
        await deposit(tenant, tenant.user, "1")
        body = {"user": tenant.user, "amount": "0.5"}
        assert (await tenant.post("/v1/user/charge", body)).status == 200
        charge = (await history(tenant))["data"][0]
        await sync_to_async(_refund)(tenant)
        found = (await tenant.get(f"/v1/receipts/{charge['id']}")).json
        assert [refund["amount"] for refund in found["refunds"]] == ["0.2"]
        assert "Refunded" in (await page(charge["receiptUrl"])).content.decode()
        refund = (await history(tenant))["data"][0]
        assert charge["receiptUrl"] in (await page(refund["receiptUrl"])).content.decode()


class TestMenu:
    async def test_its_links_open_pages_without_a_login(self, shop):
        await run(shop, "book <b>", "summary")
        menu = (await shop.get(f"/v1/user/menu?user={shop.user}")).json
        shown = await page(menu["wallet"])
        text = shown.content.decode()
        assert shown.status_code == 200
        assert f"{1 - COST} USD" in text
        assert "book &lt;b&gt;" in text
        assert shop.user not in text
        for line in (await history(shop))["data"]:
            assert line["receiptUrl"] in text
        assert menu["topup"] in text
        assert shown["Cache-Control"] == "no-store"
        assert menu["activity"] == f"{menu['wallet']}#activity"

    async def test_topup_says_what_to_do_where_no_stripe_key_is_saved(self, tenant):
        menu = (await tenant.get(f"/v1/user/menu?user={tenant.user}")).json
        token = menu["topup"].rpartition("/")[2]
        assert (
            "Payments are not set up here yet"
            in (await page(f"x://y/pay/{token}")).content.decode()
        )

    async def test_after_an_hour_they_say_that_they_are_old(self, tenant, monkeypatch):
        menu = (await tenant.get(f"/v1/user/menu?user={tenant.user}")).json
        assert (await page(menu["wallet"])).status_code == 200
        monkeypatch.setattr("paywalls.links.WALLET_S", -1)
        old = (await tenant.get(f"/v1/user/menu?user={tenant.user}")).json
        answer = await page(old["wallet"])
        assert answer.status_code == 410
        assert "expired" in answer.content.decode()

    async def test_its_pages_follow_each_other(self, tenant):
        for _ in range(51):
            await deposit(tenant, tenant.user, "0.1")
        wallet = (await tenant.get(f"/v1/user/menu?user={tenant.user}")).json["wallet"]
        older = (await history(tenant))["next"]
        first = (await page(wallet)).content.decode()
        assert first.count(">Receipt</a>") == 50
        assert f"?before={older}#activity" in first
        rest = (await page(f"{wallet}?before={older}")).content.decode()
        assert rest.count(">Receipt</a>") == 1
        assert (await page(f"{wallet}?before=x")).status_code == 404


def _bound(tenant: Tenant) -> str:
    """A key of the same paywall for another user."""
    other = EndUser.objects.create(
        paywall=tenant.paywall, livemode=True, external_id="other", wallet_id=ids.uuid7()
    )
    return make_key(tenant.paywall, end_user=other)[1]


def _refund(tenant: Tenant) -> None:
    charge = Charge.objects.get(paywall_id=tenant.paywall.pk)
    why = movements.Reason(actor="tests", reason="sorry")
    movements.refund(charge.pk, 200_000_000, why)
