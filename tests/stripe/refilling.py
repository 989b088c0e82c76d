"""A user who lets their card be charged when the balance is low."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

from billing import movements
from billing.movements import Reason
from billing.stripe import (
    agreements,
    cards,
    low_balances,
    payment_settings,
    refills,
    setups,
)
from billing.stripe.models import Customer, Order
from billing.stripe.refill_models import RefillAgreement
from billing.stripe.refill_words import Wish
from paywalls.models import EndUser
from tests.factories import ACTOR
from tests.fakes.stripe.keys import seeded
from tests.stripe.till import UNIT, Till

WHY = Reason(actor=ACTOR, reason="tests")


def calm() -> None:
    """What other tests left behind is not due in this one."""
    RefillAgreement.objects.update(due_at=None, leased_until=None, status="off")


def offer(till: Till) -> None:
    with transaction.atomic():
        payment_settings.offer_refills(till.paywall, is_on=True, actor=ACTOR)


@dataclass
class Refiller:
    """The till's user: below 5 units, 10 more, at most 100 a month, unless told otherwise."""

    till: Till

    @property
    def user(self) -> EndUser:
        return self.till.user

    @property
    def customer(self) -> Customer:
        rows = Customer.objects.select_related("account__paywall", "user__paywall")
        return rows.get(account=self.till.account, user=self.user)

    @property
    def agreement(self) -> RefillAgreement:
        """The latest."""
        rows = RefillAgreement.objects.select_related("customer__account__paywall")
        return rows.select_related("customer__user").filter(customer=self.customer).latest("id")

    @property
    def orders(self) -> list[Order]:
        return list(Order.objects.filter(user=self.user, kind="refill").order_by("id"))

    def agree(self, *, below: int = 5, amount: int = 10, most: int = 100) -> RefillAgreement:
        """Said yes, and has no card yet."""
        customer = cards.customer_of(self.till.account, self.user)
        wish = Wish(
            below_nanos=below * UNIT, amount_nanos=amount * UNIT, month_most_nanos=most * UNIT
        )
        agreements.agree(customer, wish, page="pay", address=None, uses_saved_card=False)
        return self.agreement

    def save_card(self, card: str = "visa") -> str:
        """On Stripe's page; the session's id. Its news is not heard yet."""
        agreement = self.agreement
        setups.page_that_saves(agreement, back_to="https://shop.test/back")
        session_id = self.agreement.session_id
        self.till.fake.test("sessions", session_id, "pay", card=card)
        return session_id

    def ready(self, card: str = "visa", **terms: int) -> RefillAgreement:
        """With a card, in force."""
        self.agree(**terms)
        self.till.hear(self.save_card(card))
        return self.agreement

    def spoil(self, card: str) -> None:
        """From now on the saved card behaves like this one."""
        self.till.fake.test("customers", self.customer.customer_id, "card", card=card)

    def deposit(self, units: int) -> None:
        movements.deposit(self.till.paywall, self.user.external_id, units * UNIT, WHY)

    def spend(self, units: int) -> None:
        movements.charge(self.till.paywall, self.user.external_id, units * UNIT, WHY)

    def work(self) -> None:
        """What the workers do every few seconds."""
        low_balances.watch()
        refills.run_due()

    def hurry(self) -> None:
        """What waits is due now, and what a worker had is free."""
        waiting = RefillAgreement.objects.filter(pk=self.agreement.pk, due_at__isnull=False)
        waiting.update(due_at=self.agreement.agreed_at, leased_until=None)

    def payments(self) -> list[Any]:
        """What Stripe has of the user, the newest first."""
        listed = self.till.fake.client(seeded("sk", "live")).v1.payment_intents.list(
            {"customer": self.customer.customer_id, "limit": 100}
        )
        return [each.to_dict() for each in listed.data]


def at_once(count: int, work: Callable[[], object]) -> None:
    """In as many threads, each with a connection of its own."""

    def apart() -> None:
        try:
            work()
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        for done in [pool.submit(apart) for _ in range(count)]:
            done.result()


def check_paid_once(refiller: Refiller) -> None:
    """Of somebody who was 4 units up: one order, one payment, one booking."""
    (order,) = refiller.orders
    assert order.status == "paid"
    assert refiller.till.posted == 14 * UNIT
    assert [each["status"] for each in refiller.payments()] == ["succeeded"]
    assert len(refiller.till.topups()) == 1
