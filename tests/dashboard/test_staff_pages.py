"""The administration of the books and the providers: it only shows, or books through movements."""

import re

import pytest
from django.contrib import admin
from django.urls import reverse

from billing import movements
from billing.models import Charge, Wallet
from billing.stripe.catalog import Pack, PaymentSettings, Plan, Promo
from config.kit import ids
from config.kit.money import NANOS
from ledger.models import Account, Transaction
from paywalls.models import EndUser
from providers.models import Connection, Model
from tests.factories import ConnectionFactory, DeveloperFactory, PaywallFactory

SOLD = {Pack, Plan, Promo, PaymentSettings}
BOOKS = [
    model
    for model in admin.site._registry
    if model._meta.app_label in {"billing", "ledger"} and model not in SOLD
]
INLINE = re.compile(r"<script(?![^>]*\bsrc=)[^>]*>[^<]|\son[a-z]+=|\sstyle=|<style(?![^>]*nonce)")
WHY = movements.Reason(actor="test", reason="a test")


@pytest.fixture
def site(client):
    client.force_login(DeveloperFactory(is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def wallet() -> Wallet:
    paywall = PaywallFactory.create()
    movements.deposit(paywall, "ann", 5 * NANOS, WHY)
    movements.charge(paywall, "ann", NANOS // 4, WHY)
    return Wallet.objects.get(paywall=paywall)


def url(model, page, *args):
    return reverse(f"admin:{model._meta.label_lower.replace('.', '_')}_{page}", args=args)


def read(site, address, **query):
    answer = site.get(address, query)
    assert answer.status_code == 200, address
    return answer.content.decode()


@pytest.mark.parametrize("model", BOOKS, ids=lambda model: model.__name__)
class TestBooks:
    def test_lists_open_and_say_what_to_do_when_empty(self, site, model):
        page = read(site, url(model, "changelist"))
        assert not INLINE.search(page)
        nothing = read(site, url(model, "changelist"), q=str(ids.uuid7()))
        assert "Nothing fits." in nothing or not admin.site._registry[model].search_fields

    def test_nothing_is_added_changed_or_deleted(self, site, model):
        assert site.get(url(model, "add")).status_code == 403
        for row in model.objects.order_by("-pk")[:1]:
            assert site.post(url(model, "change", row.pk), {}).status_code == 403
            assert site.post(url(model, "delete", row.pk), {"post": "yes"}).status_code == 403


class TestShown:
    def test_money_and_ids_as_the_api_says_them(self, site, wallet):
        account = read(site, url(Account, "change", wallet.wallet_id))
        assert "4.75" in account
        assert str(NANOS) not in account
        charge = Charge.objects.get(user_id=wallet.pk)
        page = read(site, url(Charge, "change", charge.pk))
        assert "0.25" in page
        assert ids.encode("pw", wallet.paywall_id) in page
        booked = read(site, url(Transaction, "change", charge.pk))
        assert "-0.25" in booked
        assert str(NANOS // 4) not in booked

    def test_the_reference_on_the_link_page_finds_the_wallet(self, site, wallet):
        move = url(Wallet, "move", wallet.pk)
        assert move in read(site, url(Wallet, "changelist"), q=ids.encode("usr", wallet.pk))
        assert move in read(site, url(Wallet, "change", wallet.pk))
        assert wallet.external_id in read(
            site, url(EndUser, "changelist"), q=ids.encode("usr", wallet.pk)
        )


class TestMovingMoney:
    def form(self, **changes):
        return {"kind": "bonus", "amount": "1", "reason": "kind", **changes}

    def balance(self, wallet):
        return Account.objects.get(pk=wallet.wallet_id).posted

    def test_the_second_click_books_nothing(self, site, wallet):
        address = url(Wallet, "move", wallet.pk)
        once = re.search(r'name="once" value="(\w+)"', read(site, address))[1]
        for _ in range(2):
            assert site.post(address, self.form(once=once)).status_code == 302
        assert self.balance(wallet) == 575 * NANOS // 100
        again = re.search(r'name="once" value="(\w+)"', read(site, address))[1]
        assert again != once

    @pytest.mark.parametrize(
        "wrong", [{"amount": "-1"}, {"amount": "1e3"}, {"reason": ""}, {"kind": "gift"}]
    )
    def test_bad_input_is_told_and_kept(self, site, wallet, wrong):
        sent = self.form(amount="2.50") | wrong
        answer = site.post(url(Wallet, "move", wallet.pk), sent)
        assert answer.status_code == 422
        assert 'class="errorlist"' in answer.content.decode()
        assert sent["amount"] in answer.content.decode()
        assert self.balance(wallet) == 475 * NANOS // 100

    def test_a_charge_is_refunded(self, site, wallet):
        charge = Charge.objects.get(user_id=wallet.pk)
        address = url(Charge, "refund", charge.pk)
        assert f"0.25 {wallet.paywall.currency}" in read(site, address)
        site.post(address, {"amount": "0.25", "reason": "sorry"})
        assert self.balance(wallet) == 5 * NANOS
        refused = site.post(address, {"amount": "0.25", "reason": "sorry"})
        assert "would pass it" in refused.content.decode()


class TestProviders:
    def test_a_refused_address_keeps_what_was_entered(self, site):
        sent = {
            "paywall": str(PaywallFactory().pk),
            "kind": "compatible",
            "name": "inside",
            "base_url": "http://10.0.0.1/v1",
            "position": "0",
        }
        answer = site.post(url(Connection, "add"), sent)
        page = answer.content.decode()
        assert answer.status_code == 200
        assert "private or reserved network" in page
        assert 'value="http://10.0.0.1/v1"' in page
        assert not Connection.objects.filter(paywall=sent["paywall"]).exists()

    @pytest.mark.parametrize(
        ("cost", "is_kept"),
        [
            ('{"prompt": 500000000}', True),
            ("", True),
            ('{"promt": 1}', False),
            ('{"prompt": "0.5"}', False),
            ('{"prompt": -1}', False),
            ("[]", False),
        ],
    )
    def test_a_cost_that_cannot_be_computed_with_is_refused(self, site, cost, is_kept):
        connection = ConnectionFactory()
        sent = {"kind": connection.kind, "connection": str(connection.pk), "name": "mine"}
        site.post(url(Model, "add"), {**sent, "source": "a test", "cost": cost})
        assert Model.objects.filter(connection=connection).exists() is is_kept
