import datetime as dt
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any

import pytest
from django.db import IntegrityError, connection
from django.test import Client

from billing.stripe import checkout, orders, pace
from billing.stripe.catalog import Pack, PaymentSettings, Plan
from billing.stripe.errors import StripeBusyError, StripeKeyError
from billing.stripe.models import Customer, Order, StripeAccount
from billing.webhooks.models import Delivery
from config.kit import clock
from config.kit.errors import InvalidRequestError
from paywalls.models import Paywall
from tests.fakes.stripe.keys import seeded
from tests.stripe.till import UNIT, Till, new_user

SESSIONS = "POST /v1/checkout/sessions"


def made(till: Till) -> list[Any]:
    """The sessions that Stripe has."""
    v1 = till.fake.client(seeded("sk", "live")).v1
    listed = v1.checkout.sessions.list({"limit": 100}).data
    return [each.to_dict() for each in listed if each.client_reference_id]


class TestClick:
    def test_the_session_is_for_the_order_and_comes_back_to_us(self, till: Till):
        order = till.order(10)
        (session,) = made(till)
        assert session["id"] == order.session_id
        assert (session["amount_total"], session["currency"]) == (1000, "usd")
        assert session["metadata"]["paywalls_order"] == order.public_id
        assert session["success_url"].endswith(f"{till.page}/order/{order.public_id}")
        assert session["cancel_url"].endswith(f"{till.page}?choose=1")
        assert order.session_url.endswith(str(order.session_id))

    @pytest.mark.proves("F59")
    def test_many_clicks_at_once_make_one_order_and_one_session(self, till: Till):
        StripeAccount.objects.filter(pk=till.account.pk).update(paced_until=clock.now())

        def click(_n: int) -> str | None:
            try:
                return till.order().session_id
            except StripeBusyError:
                return None  # More than Stripe is asked at once.
            finally:
                connection.close()

        with ThreadPoolExecutor(12) as pool:
            found = set(pool.map(click, range(12))) - {None}
        assert len(found) == 1
        assert len(made(till)) == 1
        assert Order.objects.filter(user=till.user).count() == 1

    def test_amounts_and_users_have_orders_of_their_own(self, till: Till):
        ten, twenty = till.order(10), till.order(20)
        till.user = new_user(till.paywall)
        assert len({ten.pk, twenty.pk, till.order(10).pk}) == 3

    def test_the_database_keeps_it_to_one(self, till: Till):
        order = till.order()
        order.pk = order.session_id = None
        with pytest.raises(IntegrityError):
            Order.objects.create(
                paywall=till.paywall,
                user=till.user,
                account=till.account,
                livemode=True,
                kind="topup",
                price_minor=1000,
                currency="USD",
                credit_nanos=1,
            )

    @pytest.mark.proves("F62")
    def test_a_click_after_paying_leads_to_what_was_paid(self, till: Till):
        order = till.order()
        till.pay(order)
        clicked = till.order()
        assert (clicked.pk, clicked.status) == (order.pk, "paid")
        assert till.order().pk != order.pk

    def test_what_is_sold_changed_meanwhile(self, till: Till):
        pack = Pack.objects.create(
            paywall=till.paywall, name="P", price_minor=500, currency="USD", credit_nanos=5 * UNIT
        )
        old = checkout.click(till.user, orders.pack(pack))
        pack.credit_nanos = 4 * UNIT
        pack.save()
        new = checkout.click(till.user, orders.pack(pack))
        assert (till.again(old).status, new.credit_nanos) == ("canceled", 4 * UNIT)
        till.pay(old)
        till.hear(old)
        assert till.posted == 5 * UNIT  # As it was promised to who paid.

    def test_a_plan_is_a_subscription(self, till: Till):
        plan = Plan.objects.create(
            paywall=till.paywall,
            name="Pro",
            price_minor=2000,
            currency="USD",
            interval="month",
            credit_nanos=20 * UNIT,
        )
        checkout.click(till.user, orders.plan(plan))
        (session,) = made(till)
        assert session["mode"] == "subscription"

    def test_switches_of_the_owner(self, till: Till):
        PaymentSettings.objects.create(
            paywall=till.paywall, invoices=True, tax=True, promotion_codes=True
        )
        customer = till.fake.client(seeded("sk", "live")).v1.customers.create({})
        Customer.objects.create(account=till.account, user=till.user, customer_id=customer.id)
        till.order()
        (session,) = made(till)
        assert session["automatic_tax"]["enabled"]
        assert session["invoice_creation"]["enabled"]
        assert session["allow_promotion_codes"]
        assert session["customer"] == customer.id

    def test_a_customer_who_was_deleted_at_stripe_pays_as_a_new_one(self, till: Till):
        PaymentSettings.objects.create(paywall=till.paywall, tax=True)
        v1 = till.fake.client(seeded("sk", "live")).v1
        customer = v1.customers.create()
        Customer.objects.create(account=till.account, user=till.user, customer_id=customer.id)
        v1.customers.delete(customer.id)
        assert till.paid().status == "paid"
        assert till.posted == 10 * UNIT

    def test_a_test_user_of_a_live_paywall_buys_nothing(self, till: Till):
        till.user.livemode = False
        with pytest.raises(orders.OrderNotPossibleError):
            till.order()


class TestTrouble:
    @pytest.mark.proves("F57")
    @pytest.mark.parametrize("kind", ["lock_timeout", "500", "500_after", "timeout_after"])
    def test_a_failure_leaves_one_session(self, till: Till, kind, monkeypatch):
        monkeypatch.setattr("billing.stripe.client.CALL_S", 1)
        till.fake.test("faults", kind=kind, path="/v1/checkout/sessions", method="POST", times=1)
        order = till.order()
        assert order.session_id
        assert len(made(till)) == 1
        till.pay(order)
        till.hear(order)
        assert till.posted == 10 * UNIT

    @pytest.mark.proves("F57")
    def test_one_that_lasts_is_told_and_the_next_click_works(self, till: Till):
        till.fake.test("faults", kind="429", path="/v1/checkout/sessions")
        with pytest.raises(StripeBusyError):
            till.order()
        assert till.order().session_id
        assert len(made(till)) == 1

    def test_a_paywall_that_was_renamed_between_two_tries(self, till: Till, monkeypatch):
        monkeypatch.setattr("billing.stripe.client.CALL_S", 1)
        till.fake.test("faults", kind="timeout", path="/v1/checkout/sessions", times=3)
        with pytest.raises(StripeBusyError):
            till.order()
        Paywall.objects.filter(pk=till.paywall.pk).update(name="Another name")
        till.user.paywall.refresh_from_db()
        assert till.order().session_id
        assert len(made(till)) == 1

    @pytest.mark.proves("F58")
    def test_a_revoked_key_is_noted_for_its_owner(self, till: Till):
        key = seeded("rk", "live")
        till.fake.test("keys", key, "revoke")
        with pytest.raises(StripeKeyError):
            till.order()
        till.account.refresh_from_db()
        assert "does not accept the key" in till.account.trouble


class TestPace:
    @pytest.mark.proves("F59")
    def test_at_most_25_a_second_for_all_processes_together(self, till: Till):
        def take(ends: float) -> list[tuple[float, float]]:
            """Before which moment each was asked for, and after which it was given."""
            taken = []
            try:
                while (asked := time.monotonic()) < ends:
                    if pace.try_take(till.account):
                        taken.append((asked, time.monotonic()))
            finally:
                connection.close()
            return taken

        ends = time.monotonic() + 2
        with ThreadPoolExecutor(4) as pool:
            taken = sorted(chain.from_iterable(pool.map(take, [ends] * 4)))
        assert len(taken) > 25
        most = max(
            sum(asked <= other and given < asked + 1 for other, given in taken)
            for asked, _ in taken
        )
        assert most <= 25

    def test_beyond_that_people_wait(self, till: Till):
        later = clock.now() + dt.timedelta(seconds=10)
        StripeAccount.objects.filter(pk=till.account.pk).update(paced_until=later)
        with pytest.raises(StripeBusyError) as caught:
            till.order()
        assert caught.value.retry_after_s
        assert made(till) == []


class TestReturnUrls:
    @pytest.fixture
    def settings_of_till(self, till: Till) -> PaymentSettings:
        origins = ["https://app.example", "http://localhost:3000"]
        return PaymentSettings(paywall=till.paywall, origins=origins)

    @pytest.mark.parametrize(
        "url", ["https://app.example", "https://app.example/x?y=1#z", "http://localhost:3000/"]
    )
    def test_on_a_registered_origin(self, settings_of_till, url):
        assert orders.return_url(url, settings_of_till, param="successUrl") == url

    @pytest.mark.parametrize(
        "url",
        [
            "https://app.example.evil.test/",
            "https://app.example@evil.test/",
            "https://app.example:8443/",
            "http://app.example/",
            "//app.example/",
            "javascript:alert(1)",
            "https://app.example\\@evil.test/",
            "https://app.example/\nx",
            "",
        ],
    )
    def test_others_are_refused(self, settings_of_till, url):
        with pytest.raises(InvalidRequestError) as caught:
            orders.return_url(url, settings_of_till, param="successUrl")
        assert caught.value.param == "successUrl"


class TestAmounts:
    @pytest.mark.parametrize("units", [0, 1001])
    def test_limits(self, till: Till, units):
        with pytest.raises(InvalidRequestError, match="from 1 to 1000 USD"):
            till.draft(units)

    def test_suggestions_outside_the_limits_are_not_made(self, till: Till):
        how = PaymentSettings.objects.create(
            paywall=till.paywall, suggested_nanos=[5 * UNIT, 500 * UNIT], most_nanos=50 * UNIT
        )
        assert orders.terms_of(how).suggested_nanos == (5 * UNIT,)


@pytest.mark.proves("F59")
def test_refusals_ask_stripe_nothing(till: Till):
    """The link of a message is made of the user's id alone."""
    till.fake.test("calls", method="DELETE")
    for _ in range(20):
        Client().head(till.page)
        Client().get(till.page, headers={"Sec-Purpose": "prefetch;prerender"})
    assert till.fake.calls()["total"] == 0
    assert not Order.objects.filter(user=till.user).exists()


def test_nobody_listens_so_no_event_is_kept(till: Till):
    before = Delivery.objects.count()
    till.paid()
    assert Delivery.objects.count() == before
