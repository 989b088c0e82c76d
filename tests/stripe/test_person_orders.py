"""People pay the operator: credited once, and taken back as far as Stripe took it back."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from billing import persons
from billing.invariants import BILLING
from billing.stripe import person_orders, platform
from billing.stripe.models import Order
from billing.stripe.person_models import PersonOrder, PlatformStripe
from billing.withdrawals.errors import PayoutsUnavailableError
from config.kit import ids
from config.kit.errors import InvalidRequestError
from ledger.models import Transaction
from paywalls.models import Person, User
from tests.billing.withdrawals.conftest import UNIT
from tests.factories import ACTOR
from tests.fakes.stripe.keys import seeded
from tests.fakes.stripe.server import Running
from tests.stripe.test_payouts import post
from tests.support.people import Browser

Status = Order.Status


@dataclass
class Payer:
    """A person at Stripe's page."""

    fake: Running
    person: Person
    v1: Any

    def order(self, units: int = 10) -> PersonOrder:
        return person_orders.start(self.person, units * UNIT, livemode=True)

    def pay(self, order: PersonOrder, outcome: str = "pay", **given: Any) -> Any:
        return self.fake.test("sessions", str(order.session_id), outcome, **given)

    def paid(self, units: int = 10) -> PersonOrder:
        order = self.order(units)
        self.pay(order)
        return person_orders.follow(order)

    @property
    def wallet(self) -> tuple[int, int]:
        """Units on it, and units owed."""
        purse = persons.purse(self.person.pk, livemode=True, currency="USD")
        return purse.posted_nanos // UNIT, purse.owed_nanos // UNIT

    def spend(self, units: int, owner: Any) -> None:
        owner.execute(
            "SELECT ledger_post(%(id)s, 'adjustment', 'test:spend', %(id)s::text, NULL, NULL, '',"
            " NULL, NULL, ARRAY[ledger_account_open('wallet', %(person)s, 'USD', true, 0),"
            " ledger_account_open('external', %(person)s, 'USD', true, NULL)],"
            " ARRAY[-%(nanos)s, %(nanos)s]::bigint[], NULL, NULL)",
            {"id": ids.uuid7(), "person": self.person.pk, "nanos": units * UNIT},
        )

    def hear(self, about: str) -> list[int]:
        """Deliver the platform's news about an object."""
        path = f"/webhooks/stripe-platform/{PlatformStripe.objects.get(livemode=True).path}"
        return [
            post(path, signed["body"], signed["signature"])
            for event in self.fake.events(about)
            for signed in self.fake.signed(event["id"])
            if signed["url"].endswith(path)
        ]


@pytest.fixture
def payer(fake: Running, settings: Any) -> Iterator[Payer]:
    settings.STRIPE_API_BASE = fake.url
    PlatformStripe.objects.all().delete()
    PersonOrder.objects.update(next_at=None)
    platform.connect(seeded("sk", "live"), actor=ACTOR)
    person = Person.objects.create(email=f"{ids.uuid7().hex}@example.test")
    yield Payer(fake, person, fake.client(seeded("sk", "live"), max_network_retries=0).v1)
    PlatformStripe.objects.all().delete()


def test_a_payment_is_credited_once_however_often_it_is_heard_of(payer: Payer):
    order = payer.order()
    assert order.session_url.startswith("http")
    payer.pay(order)
    assert set(payer.hear(str(order.session_id))) == {200}
    assert person_orders.follow_due() == 1
    assert [person_orders.follow(order).status for _ in range(3)] == ["paid"] * 3
    assert payer.wallet == (10, 0)
    assert Transaction.objects.filter(ref=str(order.session_id), kind="topup").count() == 1


def test_lost_news_delay_it_only(payer: Payer):
    order = payer.order()
    payer.pay(order)
    PersonOrder.objects.filter(pk=order.pk).update(next_at=order.created_at)
    person_orders.follow_due()
    assert payer.wallet == (10, 0)


def test_the_same_amount_again_is_the_same_page_until_it_is_paid(payer: Payer):
    first = payer.order()
    assert payer.order().pk == first.pk
    assert payer.order(11).pk != first.pk
    payer.pay(first)
    assert payer.order().status == Status.PAID
    assert payer.order().pk != first.pk
    assert payer.wallet == (10, 0)


@pytest.mark.parametrize(("outcome", "status"), [("expire", "expired"), ("decline", "open")])
def test_what_is_not_paid_is_not_credited(payer: Payer, outcome: str, status: str):
    order = payer.order()
    payer.pay(order, outcome)
    assert person_orders.follow(order).status == status
    assert payer.wallet == (0, 0)


def test_another_amount_than_ordered_is_quarantined(payer: Payer):
    order = payer.order()
    PersonOrder.objects.filter(pk=order.pk).update(price_minor=2_000, credit_nanos=20 * UNIT)
    payer.pay(order)
    done = person_orders.follow(PersonOrder.objects.get(pk=order.pk))
    assert (done.status, payer.wallet) == ("quarantined", (0, 0))


def test_somebody_elses_session_is_not_credited(payer: Payer):
    mine, other = payer.order(), payer.order(11)
    payer.pay(other)
    PersonOrder.objects.filter(pk=other.pk).update(session_id=None)
    PersonOrder.objects.filter(pk=mine.pk).update(
        session_id=other.session_id, price_minor=1_100, credit_nanos=11 * UNIT
    )
    done = person_orders.follow(PersonOrder.objects.get(pk=mine.pk))
    assert (done.status, payer.wallet) == ("quarantined", (0, 0))


def test_refunds_and_disputes_take_what_stripe_took_and_the_rest_is_owed(payer: Payer, owner: Any):
    order = payer.paid(10)
    payer.spend(6, owner)
    payer.v1.refunds.create({"payment_intent": order.payment_intent_id, "amount": 300})
    assert person_orders.reconcile(livemode=True) == 1
    person_orders.follow_due()
    assert payer.wallet == (1, 0)
    payer.v1.refunds.create({"payment_intent": order.payment_intent_id, "amount": 500})
    person_orders.follow(order)
    assert payer.wallet == (0, 4)
    for _ in range(2):
        assert person_orders.follow(order).taken_nanos == 8 * UNIT
    payer.paid(10)
    assert payer.wallet == (6, 0)


def test_a_dispute_takes_and_one_that_is_won_gives_back(payer: Payer):
    order = payer.paid(10)
    intent = order.payment_intent_id
    payer.fake.test("disputes", intent, "open")
    payer.fake.test("disputes", intent, "withdraw")
    person_orders.follow(order)
    assert payer.wallet == (0, 0)
    payer.fake.test("disputes", intent, "win")
    person_orders.follow(order)
    assert payer.wallet == (10, 0)


def test_staff_refunds_what_was_not_spent(payer: Payer, owner: Any):
    order = payer.paid(10)
    payer.spend(4, owner)
    with pytest.raises(InvalidRequestError, match="6 of it"):
        person_orders.refund(order, 7 * UNIT, actor=ACTOR)
    done = person_orders.refund(order, 6 * UNIT, actor=ACTOR)
    assert (done.taken_nanos, payer.wallet) == (6 * UNIT, (0, 0))
    (made,) = payer.v1.refunds.list({"payment_intent": order.payment_intent_id}).data
    assert made.amount == 600


def test_a_refund_that_stripe_refuses_is_put_back(payer: Payer, monkeypatch: pytest.MonkeyPatch):
    order = payer.paid(10)
    PersonOrder.objects.filter(pk=order.pk).update(payment_intent_id="pi_none")
    with pytest.raises(Exception, match="No such"):
        person_orders.refund(order, 6 * UNIT, actor=ACTOR)
    PersonOrder.objects.filter(pk=order.pk).update(payment_intent_id=order.payment_intent_id)
    assert payer.wallet == (4, 0)
    person_orders.follow_due()
    assert payer.wallet == (10, 0)


def test_a_wallet_has_a_ceiling(payer: Payer, settings: Any):
    settings.WALLET_MOST = 15
    payer.paid(10)
    with pytest.raises(InvalidRequestError, match=r"you can add 5\.00 USD"):
        payer.order(6)
    assert payer.order(5).status == Status.OPEN


def test_without_the_operators_key_nobody_can_pay(payer: Payer):
    PlatformStripe.objects.all().delete()
    with pytest.raises(PayoutsUnavailableError):
        payer.order()


def test_the_books_agree(payer: Payer, owner: Any):
    order = payer.paid(10)
    payer.v1.refunds.create({"payment_intent": order.payment_intent_id, "amount": 300})
    person_orders.follow(order)
    query = {each.number: each.query for each in BILLING}
    before = [len(owner.execute(query[number]).fetchall()) for number in ("I11", "I21")]
    with owner.transaction(force_rollback=True):
        owner.execute(
            "UPDATE billing_person_order SET taken_nanos = taken_nanos + 1 WHERE id = %s",
            [order.pk],
        )
        assert len(owner.execute(query["I21"]).fetchall()) == before[1] + 1
        owner.execute("UPDATE billing_person_order SET status = 'open' WHERE id = %s", [order.pk])
        assert len(owner.execute(query["I11"]).fetchall()) == before[0] + 1


class TestPages:
    @pytest.fixture
    def browser(self, payer: Payer) -> Browser:
        made = Browser(email=str(payer.person.email))
        made.sign_in()
        return made

    def test_from_the_wallet_to_stripe_and_back(self, payer: Payer, browser: Browser):
        assert "/wallet/topup" in browser.get("/wallet").content.decode()
        sent = browser.press("/wallet/topup", amount="25.00")
        order = PersonOrder.objects.get(person=payer.person)
        assert (sent.status_code, sent["Location"]) == (303, order.session_url)
        path = f"/wallet/topup/{order.public_id}"
        assert "not paid yet" in browser.get(path).content.decode()
        payer.pay(order)
        assert "in your wallet" in browser.get(path).content.decode()
        assert payer.wallet == (25, 0)

    @pytest.mark.parametrize("other", ["0", "-5", "1e3", "abc", "0.10", "99999999"])
    def test_what_is_no_amount_is_said(self, browser: Browser, other: str):
        answer = browser.press("/wallet/topup", amount="10.00", other=other)
        assert (answer.status_code, "problem" in answer.content.decode()) == (422, True)

    def test_somebody_elses_order_is_not_there(self, payer: Payer, browser: Browser):
        payer.person = Person.objects.create(email=f"{ids.uuid7().hex}@example.test")
        order = payer.order()
        assert browser.get(f"/wallet/topup/{order.public_id}").status_code == 404
        assert browser.get("/wallet/topup/nothing").status_code == 404

    def test_without_the_operators_key_it_says_so(self, browser: Browser):
        PlatformStripe.objects.all().delete()
        assert "not set up" in browser.get("/wallet/topup").content.decode()
        assert browser.press("/wallet/topup", amount="10.00").status_code == 503
        assert "/wallet/topup" not in browser.get("/wallet").content.decode()


class TestAdministration:
    def test_asks_again_and_refunds(self, payer: Payer):
        order = payer.paid(10)
        user = User(email=f"{ids.uuid7().hex}@example.test", is_staff=True, is_superuser=True)
        user.save(force_insert=True)
        staff = Client()
        staff.force_login(user)
        url = reverse("admin:billing_personorder_act", args=[order.pk])
        assert staff.get(reverse("admin:billing_personorder_changelist")).status_code == 200
        assert staff.post(url, {"action": "ask"}).status_code == 302
        assert staff.post(url, {"action": "refund"}).status_code == 422
        assert staff.post(url, {"action": "refund", "amount": "11"}).status_code == 422
        assert staff.post(url, {"action": "refund", "amount": "4"}).status_code == 302
        assert payer.wallet == (6, 0)


def test_older_news_do_not_undo_newer_ones(payer: Payer, monkeypatch: pytest.MonkeyPatch):
    """Somebody else books a refund between our question and our answer."""
    order = payer.paid(10)
    asked = person_orders._taken_minor

    def slow(v1: Any, intent: str) -> int:
        before = asked(v1, intent)
        monkeypatch.setattr(person_orders, "_taken_minor", asked)
        payer.v1.refunds.create({"payment_intent": intent, "amount": 300})
        person_orders.follow(order)
        return before

    monkeypatch.setattr(person_orders, "_taken_minor", slow)
    person_orders.follow(order)
    assert payer.wallet == (7, 0)
    assert person_orders.follow_due() == 1
    assert payer.wallet == (7, 0)
