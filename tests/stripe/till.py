"""A paywall with a Stripe key of the stand-in, and what happens at its till."""

from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.test import Client

from billing.stripe import checkout, connect, inbox, orders
from billing.stripe.handlers import Outcome
from billing.stripe.models import InboxEvent, Order, StripeAccount
from config.kit import ids
from ledger.models import Account, Transaction
from paywalls.links import checkout_token
from paywalls.models import EndUser, Paywall
from tests.factories import ACTOR, PaywallFactory
from tests.fakes.stripe.keys import seeded
from tests.fakes.stripe.server import Running

UNIT = 10**9


@dataclass
class Till:
    """One paywall with one user."""

    fake: Running
    paywall: Paywall
    account: StripeAccount
    user: EndUser

    @property
    def page(self) -> str:
        return f"/pay/{checkout_token(self.user.pk)}"

    @property
    def wallet(self) -> Account:
        return Account.objects.get(pk=str(self.user.wallet_id))

    @property
    def posted(self) -> int:
        return self.wallet.posted

    @property
    def total(self) -> int:
        """What the user has, less what is owed."""
        wallet = self.wallet
        return wallet.posted - wallet.owed

    def draft(self, units: int = 10) -> orders.Draft:
        return orders.topup(orders.terms_of(orders.settings_of(self.paywall)), units * UNIT)

    def order(self, units: int = 10) -> Order:
        """With a session that waits to be paid."""
        return checkout.click(self.user, self.draft(units))

    def pay(self, order: Order, outcome: str = "pay", **given: Any) -> Any:
        return self.fake.test("sessions", str(order.session_id), outcome, **given)

    def paid(self, units: int = 10) -> Order:
        """Paid, and credited by Stripe's own news of it."""
        order = self.order(units)
        self.pay(order)
        self.hear(order)
        return self.again(order)

    def again(self, order: Order) -> Order:
        return orders.find(order.pk)

    def news(self, about: Order | str) -> list[Any]:
        """Events about an order's session and payment, or about an object; the oldest first."""
        named = about if isinstance(about, str) else str(about.session_id)
        return self.fake.events(named)

    def hear(self, about: Order | str) -> list[Outcome | None]:
        """Every event about it, delivered and handled in order."""
        return [self.hear_one(event["id"]) for event in self.news(about)]

    def hear_one(self, event_id: str) -> Outcome | None:
        """None for what is known already, or is not listened to."""
        event = self.stored(event_id)
        return None if event is None else inbox.process(event)

    def stored(self, event_id: str) -> InboxEvent | None:
        """The event, delivered and not looked at yet; None if it is not listened to."""
        path = f"/webhooks/stripe/{self.account.path}"
        found = [each for each in self.fake.signed(event_id) if each["url"].endswith(path)]
        if not found:
            return None
        signed = found[0]
        answer = Client().post(
            path,
            signed["body"],
            content_type="application/json",
            headers={"Stripe-Signature": signed["signature"]},
        )
        assert answer.status_code == 200, answer.content
        return InboxEvent.objects.select_related("account__paywall").get(
            account=self.account, event_id=event_id
        )

    def foreign(self, **metadata: str) -> str:
        """A paid session of the developer's own, in the same Stripe account; its id."""
        v1: Any = self.fake.client(seeded("sk", "live")).v1
        price = {"currency": "usd", "unit_amount": 900, "product_data": {"name": "shoes"}}
        made = v1.checkout.sessions.create(
            {
                "mode": "payment",
                "line_items": [{"price_data": price, "quantity": 1}],
                "success_url": "https://shop.test/ok",
                "metadata": metadata,
            }
        )
        self.fake.test("sessions", made.id, "pay")
        return str(made.id)

    def topups(self) -> list[Transaction]:
        scope = f"topup:{self.paywall.pk}"
        return list(Transaction.objects.filter(scope=scope).order_by("id"))


def open_till(fake: Running, **paywall: Any) -> Till:
    made = PaywallFactory.create(**paywall)
    account = connect.connect(made, seeded("rk", "live"), actor=ACTOR)
    return Till(fake, made, account, new_user(made))


def new_user(paywall: Paywall, *, livemode: bool = True) -> EndUser:
    name = f"user_{ids.uuid7().hex}"
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM billing_user(%s, %s, %s, %s, NULL)",
            [paywall.pk, livemode, name, paywall.currency],
        )
        (user_id,) = cursor.fetchone()
    return EndUser.objects.select_related("paywall").get(pk=user_id)
