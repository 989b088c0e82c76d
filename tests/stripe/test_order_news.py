"""What is told of orders, what staff does with them, and the demo's own till."""

import json
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.urls import reverse

from billing.stripe import checkout, connect, orders, reconcile
from billing.stripe.models import Order, Reversal, StripeAccount
from billing.webhooks import subscriptions
from billing.webhooks.envelope import event_of
from billing.webhooks.logs import page
from config.kit import ids
from ledger.models import Transaction
from paywalls.links import checkout_url
from paywalls.lookup import find_paywall
from tests.factories import ACTOR, DeveloperFactory, MembershipFactory
from tests.fakes.stripe.keys import seeded
from tests.fakes.stripe.server import Running
from tests.stripe.till import UNIT, Till, new_user
from tests.support.commands import run


def told(till: Till, *skipped: str) -> list[Any]:
    rows = reversed(page(till.paywall.pk, limit=100))
    return [event for row in rows if (event := event_of(row))["type"] not in skipped]


@pytest.fixture
def listened(till: Till) -> Till:
    """Somebody wants to hear of everything."""
    MembershipFactory.create(team=till.paywall.team)
    draft = subscriptions.Draft(url="https://127.0.0.1:9/hook", events=["*"])
    with transaction.atomic():
        subscriptions.create(till.paywall, draft, actor=ACTOR)
    return till


class TestTold:
    def test_an_order_from_its_click_to_its_credit(self, listened: Till):
        order = listened.order()
        listened.order()
        listened.pay(order)
        listened.hear(order)
        listened.hear(order)
        events = {event["type"]: event["data"] for event in told(listened)}
        assert len(told(listened, "paywall.updated")) == 3
        link = events["paywall.balance.topup.link.created"]
        assert link["redirectUrl"] == checkout_url(listened.user.pk)
        assert link["checkoutSessionId"] == order.public_id
        done = events["paywall.stripe.checkout.session.completed"]
        assert done["checkoutSessionId"] == order.session_id
        assert (done["amount"], done["currency"]) == ("10", "usd")
        deposit = events["paywall.balance.deposit.created"]
        assert (deposit["source"], deposit["amount"]) == ("stripe", "10")

    def test_a_dispute_each_moment_once(self, listened: Till):
        order = listened.paid()
        for moment in ("open", "withdraw", "lose"):
            listened.fake.test("disputes", str(order.session_id), moment)
            listened.hear(order)
            listened.hear(order)
        disputes = [event for event in told(listened) if "dispute" in event["type"]]
        assert [event["type"] for event in disputes] == [
            "paywall.dispute.opened",
            "paywall.dispute.lost",
        ]
        assert {event["data"]["amount"] for event in disputes} == {"10"}


class TestStaff:
    @pytest.fixture
    def site(self) -> Client:
        client = Client()
        client.force_login(DeveloperFactory.create(is_staff=True, is_superuser=True))
        return client

    def act(self, site: Client, order: Order, **form: str) -> Any:
        url = reverse("admin:billing_order_act", args=[order.pk])
        assert order.public_id in site.get(url).content.decode()
        return site.post(url, {"once": ids.uuid7().hex, **form}, follow=True)

    def test_asks_stripe_again(self, site, till: Till):
        order = till.order()
        till.pay(order)
        till.fake.test("objects", str(order.session_id), amount_subtotal=1)
        page = self.act(site, order, action="ask").content.decode()
        assert "The order is quarantined. the amount is 1" in page
        till.fake.test("objects", str(order.session_id), amount_subtotal=1000)
        assert "The order is paid" in self.act(site, order, action="ask").content.decode()
        assert till.posted == 10 * UNIT

    def test_refunds_what_is_quarantined_without_touching_the_wallet(self, site, till: Till):
        order = till.order()
        till.pay(order)
        till.fake.test("objects", str(order.session_id), amount_subtotal=1)
        till.hear(order)
        page = self.act(site, order, action="refund").content.decode()
        assert "Refunded 10.00 USD" in page
        assert (till.total, Reversal.objects.get(order=order).booked_nanos) == (0, 0)

    def test_refunds_a_part_once_for_a_form(self, site, till: Till):
        order = till.paid()
        for _ in range(2):
            self.act(site, order, action="refund", amount="2.50", once="x")
        assert till.total == 7 * UNIT + UNIT // 2

    @pytest.mark.parametrize("amount", ["-1", "1.005", "x", "11"])
    def test_amounts_that_cannot_be(self, site, till: Till, amount):
        order = till.paid()
        assert self.act(site, order, action="refund", amount=amount).status_code == 422
        assert till.total == 10 * UNIT

    def test_others_may_not(self, till: Till):
        client = Client()
        client.force_login(DeveloperFactory.create(is_staff=True))
        url = reverse("admin:billing_order_act", args=[till.order().pk])
        assert client.post(url, {"action": "ask"}).status_code == 403


class TestModes:
    def test_a_test_key_moves_test_wallets(self, till: Till):
        till.account = connect.connect(till.paywall, seeded("rk", "test"), actor=ACTOR)
        till.user = new_user(till.paywall, livemode=False)
        order = till.paid()
        assert (order.status, order.livemode, till.posted) == ("paid", False, 10 * UNIT)
        scope = f"topup:{till.paywall.pk}:test"
        assert Transaction.objects.filter(scope=scope).count() == 1

    def test_a_key_of_another_account_leaves_what_the_first_one_takes(self, till: Till):
        order, old = till.order(), till.account
        new = self.moved(till)
        old.refresh_from_db()
        assert (old.is_active, new.pk != old.pk) == (False, True)
        till.pay(order)
        till.fake.test("refunds", session=order.session_id, amount=400)
        for till.account in (new, old, new):
            till.hear(order)
        assert till.total == 6 * UNIT
        assert Reversal.objects.get(order=order).account == old
        assert set(reconcile.reconcile(new).values()) == {0}
        reconcile.reconcile(old)
        assert (till.total, len(till.topups())) == (6 * UNIT, 1)

    def test_without_any_news_the_comparison_finds_it_through_the_old_key(self, till: Till):
        order = till.order()
        self.moved(till)
        till.pay(order)
        reconcile.reconcile(till.account)
        assert (till.again(order).status, till.posted) == ("paid", 10 * UNIT)

    def test_an_open_page_of_an_account_that_was_replaced_is_offered_no_more(self, till: Till):
        order = till.order()
        new = self.moved(till)
        other = checkout.open_page(till.again(order))
        assert (other.account, other.status) == (new, "open")
        assert other.session_id != order.session_id
        assert checkout.click(till.user, till.draft()) == other
        till.pay(order)
        assert checkout.open_page(till.again(order)) == order
        assert till.posted == 10 * UNIT

    def test_nor_one_that_was_never_made(self, till: Till):
        order = orders.start(till.user, till.draft())
        new = self.moved(till)
        assert checkout.open_page(till.again(order)).account == new

    def moved(self, till: Till) -> StripeAccount:
        """To another Stripe account."""
        key = f"rk_live_51{till.paywall.pk.hex}"
        till.fake.test("keys", key=key, account="acct_AnotherOne")
        return connect.connect(till.paywall, key, actor=ACTOR)

    def test_an_order_of_a_key_that_was_replaced_is_still_followed(self, till: Till):
        order = till.order()
        old = till.account
        new = connect.connect(till.paywall, seeded("rk", "live"), actor=ACTOR)
        till.pay(order)
        till.fake.test("refunds", session=order.session_id, amount=400)
        for till.account in (new, old, new):
            till.hear(order)
        assert till.total == 6 * UNIT
        assert Reversal.objects.filter(order=order).count() == 1


class TestDemo:
    def test_it_connects_once(self, fake: Running, settings, monkeypatch, tmp_path):
        settings.STRIPE_API_BASE = fake.url
        settings.DEMO_PROVIDER_URL = "http://127.0.0.1:9"
        monkeypatch.setenv("PAYWALLS_STATE", str(tmp_path))
        monkeypatch.setenv("DEMO_STRIPE_KEY", seeded("rk", "live"))
        pages = [json.loads(run("seed_demo")) for _ in range(2)]
        paywall = find_paywall(pages[1]["paywalls"][0]["id"])
        account = StripeAccount.objects.get(paywall=paywall)
        assert (account.livemode, account.is_active, account.trouble) == (True, True, "")
