"""Switching automatic top-ups on and off, as somebody without JavaScript meets it."""

import html
import re
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from billing.stripe import payment_settings
from billing.stripe.catalog import PaymentSettings
from billing.stripe.models import Order, StripeAccount
from billing.stripe.refill_models import RefillAgreement
from billing.stripe.refill_words import Wish, words_of
from paywalls.links import wallet_url
from paywalls.models import EndUser
from tests.dashboard.test_staff_pages import INLINE
from tests.factories import ACTOR
from tests.stripe.refilling import Refiller
from tests.stripe.till import UNIT, Till, new_user

PAGE = Path(__file__).resolve().parents[2] / "templates/docs/payments.md"
AMOUNTS = {"below": "5", "amount": "10", "most": "50"}


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False)


def wallet_page(refiller: Refiller) -> str:
    return "/wallet/" + wallet_url(refiller.user.pk).rpartition("/")[2] + "/refill"


def sent(page: str) -> dict[str, str]:
    """What the form on the page sends besides its buttons."""
    return dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page))


def agree(client: Client, path: str, **more: str) -> Any:
    page = client.get(path, AMOUNTS).content.decode()
    return client.post(path, {**sent(page), "card": "new", **more})


class TestAgreeing:
    def test_the_words_are_shown_and_kept_and_the_card_is_saved(self, client, refiller: Refiller):
        refiller.deposit(20)
        path = f"{refiller.till.page}/refill"
        assert "refill" in client.get(f"{refiller.till.page}?choose=1").content.decode()
        first = client.get(path)
        assert (first.status_code, first["Cache-Control"]) == (200, "no-store")
        assert not INLINE.search(first.content.decode())
        asked = client.get(path, AMOUNTS).content.decode()
        (shown,) = re.findall(r"<blockquote>(.*?)</blockquote>", asked)
        assert not RefillAgreement.objects.filter(customer__user=refiller.user).exists()
        answer = client.post(path, {**sent(asked), "card": "new"}, REMOTE_ADDR="203.0.113.9")
        agreement = refiller.agreement
        assert agreement.words == html.unescape(shown)
        assert "10.00 USD whenever my balance is below 5.00 USD" in agreement.words
        assert "at most 50.00 USD in a calendar month" in agreement.words
        assert (agreement.wording, agreement.page, agreement.address) == (1, "pay", "203.0.113.9")
        assert (agreement.status, agreement.due_at) == ("waiting", None)
        to_stripe = client.get(answer["Location"])
        assert to_stripe.status_code == 303
        assert "/c/pay/cs_live_" in to_stripe["Location"]
        refiller.till.fake.test("sessions", refiller.agreement.session_id, "pay")
        # Its news has not come: the page that people come back to asks.
        page = client.get(path).content.decode()
        assert "Automatic top-ups are on" in page
        assert "Visa ending in 4242" in page
        assert refiller.agreement.status == "on"

    def test_a_balance_that_is_low_already_is_paid_for_at_once(self, client, refiller: Refiller):
        answer = agree(client, f"{refiller.till.page}/refill")
        to_order = client.get(answer["Location"])
        (order,) = Order.objects.filter(user=refiller.user)
        assert (order.kind, order.saves_card, order.price_minor) == ("topup", True, 1000)
        assert "/c/pay/" in client.get(to_order["Location"])["Location"]
        order.refresh_from_db()
        refiller.till.pay(order)
        page = client.get(f"{refiller.till.page}/order/{order.public_id}").content.decode()
        assert "Your card is saved for" in page
        assert refiller.till.posted == 10 * UNIT
        assert refiller.agreement.status == "on"
        assert (refiller.customer.card_brand, refiller.customer.card_last_four) == ("visa", "4242")

    @pytest.mark.parametrize(
        ("wrong", "said"),
        [
            ({"amount": "0.2"}, "One top-up is 1.00 USD to 1000.00 USD."),
            ({"amount": "2000", "most": "5000"}, "One top-up is"),
            ({"below": "0"}, "The balance to act at"),
            ({"below": "1001"}, "The balance to act at"),
            ({"most": "9"}, "at least one top-up"),
            ({"most": "<b>"}, "such as 12.50"),
            ({"amount": "10.005"}, "multiple of 0.01"),
        ],
    )
    def test_amounts_that_cannot_be_are_told_and_kept(self, client, refiller, wrong, said):
        path = f"{refiller.till.page}/refill"
        for answer in (
            client.get(path, AMOUNTS | wrong),
            client.post(path, AMOUNTS | wrong | {"action": "agree", "wording": "1"}),
        ):
            page = answer.content.decode()
            assert answer.status_code == 422
            assert said in page
            assert 'aria-invalid="true"' in page
            assert f'value="{html.escape(next(iter(wrong.values())))}"' in page
        assert not RefillAgreement.objects.filter(customer__user=refiller.user).exists()

    def test_words_that_have_changed_meanwhile_are_shown_again(self, client, refiller: Refiller):
        answer = agree(client, f"{refiller.till.page}/refill", wording="0")
        assert "Do you agree?" in answer.content.decode()
        assert not RefillAgreement.objects.filter(customer__user=refiller.user).exists()

    def test_the_link_of_a_message_never_uses_a_saved_card(self, client, refiller: Refiller):
        path = f"{refiller.till.page}/refill"
        on = refiller.ready()
        client.post(path, AMOUNTS | {"action": "agree", "wording": "1", "card": "saved"})
        assert (refiller.agreement, refiller.agreement.status) == (on, "on")
        client.post(path, {"action": "off"})
        agree(client, path, card="saved")
        assert refiller.agreement.status == "waiting"

    def test_the_wallets_page_may(self, client, refiller: Refiller):
        refiller.ready()
        path = wallet_page(refiller)
        client.post(path, {"action": "off"})
        assert "I agree, with Visa ending in 4242" in client.get(path, AMOUNTS).content.decode()
        answer = agree(client, path, card="saved")
        assert answer["Location"] == path
        agreement = refiller.agreement
        assert (agreement.status, agreement.page) == ("on", "wallet")
        assert "refill" in client.get(path.removesuffix("/refill")).content.decode()


def test_the_documentation_quotes_the_words():
    wish = Wish(below_nanos=5 * UNIT, amount_nanos=10 * UNIT, month_most_nanos=50 * UNIT)
    quoted = " ".join(
        line.removeprefix("> ") for line in PAGE.read_text().splitlines() if line.startswith("> ")
    )
    assert words_of(wish, name="Storyteller", currency="USD") == quoted


class TestEnding:
    def test_off_keeps_the_card_and_forgetting_takes_it_away_at_stripe(self, client, refiller):
        refiller.ready()
        path = f"{refiller.till.page}/refill"
        client.post(path, {"action": "off"})
        assert refiller.agreement.status == "off"
        page = client.get(path).content.decode()
        assert "Forget the card" in page
        method_id = refiller.customer.payment_method_id
        client.post(path, {"action": "forget"})
        assert refiller.customer.payment_method_id == ""
        assert refiller.till.fake.test("objects", method_id, method="GET")["customer"] is None
        assert "4242" not in client.get(path).content.decode()

    def test_when_stripe_is_busy_nothing_is_charged_all_the_same(self, client, refiller):
        refiller.ready()
        refiller.till.fake.test("faults", kind="429", path="/v1/payment_methods/*", times=9)
        answer = client.post(f"{refiller.till.page}/refill", {"action": "forget"})
        assert answer.status_code == 503
        assert refiller.agreement.status == "off"

    def test_it_can_be_ended_where_it_is_not_offered_any_more(self, client, refiller: Refiller):
        refiller.ready()
        with transaction.atomic():
            payment_settings.offer_refills(refiller.till.paywall, is_on=False, actor=ACTOR)
        path = f"{refiller.till.page}/refill"
        assert "Switch off" in client.get(path).content.decode()
        client.post(path, {"action": "off"})
        assert refiller.agreement.status == "off"
        agree(client, path)
        assert refiller.agreement.status == "off"


class TestWhoMayCome:
    def test_nobody_where_it_is_not_offered(self, client, till: Till):
        assert client.get(f"{till.page}/refill").status_code == 404
        assert "refill" not in client.get(f"{till.page}?choose=1").content.decode()

    def test_not_a_test_user_of_a_live_paywall(self, client, refiller: Refiller):
        refiller.till.user = new_user(refiller.till.paywall, livemode=False)
        assert client.get(f"{refiller.till.page}/refill").status_code == 404

    def test_not_a_blocked_user_and_no_other_token(self, client, refiller: Refiller):
        assert client.get("/pay/nonsense/refill").status_code == 404
        assert client.get("/wallet/nonsense/refill").status_code == 404
        EndUser.objects.filter(pk=refiller.user.pk).update(blocked_at=refiller.user.created_at)
        assert client.get(f"{refiller.till.page}/refill").status_code == 404

    def test_not_where_stripe_computes_tax_or_has_no_key(self, client, refiller: Refiller):
        PaymentSettings.objects.filter(paywall=refiller.till.paywall).update(tax=True)
        assert client.get(f"{refiller.till.page}/refill").status_code == 404
        PaymentSettings.objects.filter(paywall=refiller.till.paywall).update(tax=False)
        StripeAccount.objects.filter(pk=refiller.till.account.pk).update(is_active=False)
        assert client.get(f"{refiller.till.page}/refill").status_code == 404

    def test_looking_ahead_makes_nothing(self, client, refiller: Refiller):
        refiller.agree()
        path = f"{refiller.till.page}/refill/card"
        assert client.head(path)["Location"] == f"{refiller.till.page}/refill"
        assert client.get(path, headers={"Sec-Purpose": "prefetch"}).status_code == 302
        assert not Order.objects.filter(user=refiller.user).exists()
        assert refiller.agreement.session_id == ""

    def test_a_refills_order_has_no_page_to_pay_on(self, client, refiller: Refiller):
        refiller.ready()
        order = Order.objects.create(
            paywall=refiller.till.paywall,
            user=refiller.user,
            account=refiller.till.account,
            livemode=True,
            kind="refill",
            agreement=refiller.agreement,
            price_minor=1000,
            currency="USD",
            credit_nanos=UNIT,
        )
        path = f"{refiller.till.page}/order/{order.public_id}"
        assert client.get(f"{path}/go")["Location"] == path
        Order.objects.filter(pk=order.pk).update(status="canceled")
