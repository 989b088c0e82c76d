"""The pages behind the link, as somebody without JavaScript meets them."""

import re

import pytest
from django.db import transaction
from django.test import Client

from billing.stripe import orders
from billing.stripe.catalog import Pack, PaymentSettings, Plan
from billing.stripe.models import Order, StripeAccount
from config.kit import ids
from paywalls import rules
from tests.dashboard.test_staff_pages import INLINE
from tests.factories import ACTOR
from tests.fakes.stripe.keys import seeded
from tests.stripe.till import UNIT, Till, new_user


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False)


class TestTheLink:
    def test_it_leads_to_stripe_at_once(self, client, till: Till):
        answer = client.get(till.page)
        assert answer.status_code == 303
        assert "/c/pay/cs_live_" in answer["Location"]
        assert client.get(till.page)["Location"] == answer["Location"]
        assert answer["Cache-Control"] == "no-store"
        assert not answer.cookies

    @pytest.mark.parametrize(
        "headers", [{"Sec-Purpose": "prefetch"}, {"Purpose": "prefetch"}, {"X-Moz": "prefetch"}]
    )
    def test_looking_ahead_makes_nothing(self, client, till: Till, headers):
        assert client.get(till.page, headers=headers).status_code == 200
        assert client.head(till.page).status_code == 200
        assert not Order.objects.filter(user=till.user).exists()

    def test_the_owner_may_want_the_choices_first(self, client, till: Till):
        PaymentSettings.objects.create(paywall=till.paywall, choose_first=True)
        assert client.get(till.page).status_code == 200

    def test_nothing_can_be_paid_without_a_key(self, client, till: Till):
        StripeAccount.objects.filter(pk=till.account.pk).update(is_active=False)
        page = client.get(till.page).content.decode()
        assert "Payments are not set up" in page
        assert client.post(till.page, {"amount": "10"}).status_code == 200
        assert not Order.objects.filter(user=till.user).exists()

    @pytest.mark.proves("F57")
    def test_when_stripe_is_busy_the_page_tries_again_by_itself(self, client, till: Till):
        till.fake.test("faults", kind="429", path="/v1/checkout/sessions")
        answer = client.get(till.page)
        assert (answer.status_code, answer["Retry-After"]) == (503, "3")
        assert 'http-equiv="refresh"' in answer.content.decode()
        assert client.get(till.page).status_code == 303

    @pytest.mark.proves("F58")
    def test_a_revoked_key_is_said_without_an_error_page(self, client, till: Till):
        till.fake.test("keys", seeded("rk", "live"), "revoke")
        answer = client.get(till.page)
        page = answer.content.decode()
        assert answer.status_code == 503
        assert "unavailable" in page
        assert 'http-equiv="refresh"' not in page
        assert ids.encode("usr", till.user.pk) in page


class TestChoosing:
    def test_everything_that_is_sold_has_a_button(self, client, till: Till):
        Pack.objects.create(
            paywall=till.paywall,
            name="<Big>",
            price_minor=900,
            currency="USD",
            credit_nanos=10 * UNIT,
            bonus_nanos=UNIT,
        )
        Plan.objects.create(
            paywall=till.paywall,
            name="Pro",
            price_minor=2000,
            currency="USD",
            interval="month",
            credit_nanos=20 * UNIT,
        )
        answer = client.get(till.page)
        page = answer.content.decode()
        assert answer.status_code == 200
        for text in ("10.00 USD", "9.00 USD", "&lt;Big&gt;", "1.00 USD on top", "every month"):
            assert text in page
        assert till.user.external_id not in page
        assert not INLINE.search(page)
        for name in ("pack", "plan"):
            (value,) = re.findall(rf'name="{name}"\s+value="(\w+)"', page)
            sent = client.post(till.page, {name: value})
            assert "/c/pay/" in client.get(sent["Location"])["Location"]
        kinds = Order.objects.filter(user=till.user).values_list("kind", flat=True)
        assert set(kinds) == {"pack", "plan"}

    @pytest.mark.parametrize("text", ["12.5", "12,50", " 12.50 "])
    def test_any_amount(self, client, till: Till, text):
        client.post(till.page, {"own": text})
        assert Order.objects.get(user=till.user).price_minor == 1250

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("0.5", "from 1 to 1000 USD"),
            ("5000", "from 1 to 1000 USD"),
            ("1.005", "multiple of 0.01"),
            ("ten", "such as 12.50"),
            ("<b>", "such as 12.50"),
        ],
    )
    def test_amounts_that_cannot_be_are_told_and_kept(self, client, till: Till, text, said):
        answer = client.post(till.page, {"own": text})
        page = answer.content.decode()
        assert answer.status_code == 422
        assert said in page
        assert 'aria-invalid="true"' in page
        assert "<b>" not in page
        assert not Order.objects.filter(user=till.user).exists()

    def test_a_pack_that_is_not_sold_any_more(self, client, till: Till):
        answer = client.post(till.page, {"pack": ids.encode("pack", ids.uuid7())})
        assert answer.status_code == 422
        assert "choose again" in answer.content.decode()

    def test_credits_where_the_paywall_shows_them(self, client, till: Till):
        PaymentSettings.objects.create(paywall=till.paywall, choose_first=True)
        with transaction.atomic():
            rules.set_credits(till.paywall, name="gems", per_unit=100, actor=ACTOR)
        assert "1000 gems" in client.get(till.page).content.decode()


class TestFollowing:
    def path(self, till: Till, order: Order) -> str:
        return f"{till.page}/order/{order.public_id}"

    def test_it_waits_and_then_says_that_the_balance_is_there(self, client, till: Till):
        order = till.order()
        waiting = client.get(self.path(till, order)).content.decode()
        assert 'http-equiv="refresh"' in waiting
        assert "waiting" in waiting
        till.pay(order)
        page = client.get(self.path(till, order)).content.decode()
        assert "10.00 USD were added to your balance" in page
        assert 'http-equiv="refresh"' not in page
        assert till.posted == 10 * UNIT

    def test_the_way_back_to_the_app(self, client, till: Till):
        draft = orders.topup(
            orders.terms_of(orders.settings_of(till.paywall)),
            5 * UNIT,
            success_url="https://app.example/done",
        )
        order = orders.start(till.user, draft)
        Order.objects.filter(pk=order.pk).update(status="paid", paid_at=order.created_at)
        page = client.get(self.path(till, order)).content.decode()
        assert 'href="https://app.example/done"' in page
        Order.objects.filter(pk=order.pk).update(status="canceled")

    @pytest.mark.parametrize(
        ("outcome", "said"),
        [("pay_async", "Your bank has been asked"), ("expire", "ended without a payment")],
    )
    def test_other_ends(self, client, till: Till, outcome, said):
        order = till.order()
        till.pay(order, outcome)
        assert said in client.get(self.path(till, order)).content.decode()

    def test_what_is_quarantined_has_a_reference(self, client, till: Till):
        order = till.order()
        till.pay(order)
        till.fake.test("objects", str(order.session_id), amount_subtotal=1)
        page = client.get(self.path(till, order)).content.decode()
        assert "somebody has to look" in page
        assert order.public_id in page

    def test_it_stays_up_when_stripe_does_not(self, client, till: Till):
        order = till.order()
        till.fake.test("faults", kind="429", path="/v1/checkout/*")
        assert client.get(self.path(till, order)).status_code == 200

    def test_going_on_with_an_order(self, client, till: Till):
        order = till.order()
        path = self.path(till, order)
        assert client.get(f"{path}/go")["Location"] == order.session_url
        till.pay(order)
        assert client.get(f"{path}/go")["Location"] == path

    def test_orders_of_others_are_not_there(self, client, till: Till):
        order = till.order()
        till.user = new_user(till.paywall)
        assert client.get(self.path(till, order)).status_code == 404
        assert client.get(f"{till.page}/order/nonsense").status_code == 404
