"""What people mean to buy, as rows that exist before Stripe hears of them; and events about them.

An order that is open is reused: one for each user and thing, by a constraint.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar
from uuid import UUID

from django.db import transaction

from billing.stripe import amounts, cards, client, fulfil, plans
from billing.stripe.catalog import Pack, PaymentSettings, Plan
from billing.stripe.errors import translated
from billing.stripe.handlers import Outcome
from billing.stripe.models import InboxEvent, Order, StripeAccount
from billing.stripe.naming import of_account, order_named
from billing.webhooks import outbox
from billing.webhooks.events import Event
from config.kit.errors import InvalidRequestError
from config.kit.money import format_nanos
from paywalls import links, rules
from paywalls.models import EndUser, Paywall


class OrderNotPossibleError(InvalidRequestError):
    """What cannot be bought, or not by this user."""

    code: ClassVar[str] = "order_not_possible"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How much may be paid in at once. Nanos of the paywall's currency."""

    currency: str
    least_nanos: int
    most_nanos: int
    suggested_nanos: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What somebody wants to buy. The URLs are the app's, checked by `return_url`.

    saves_card: for automatic top-ups, as the payer agreed.
    """

    kind: Order.Kind
    price_minor: int
    credit_nanos: int
    bonus_nanos: int = 0
    pack: Pack | None = None
    plan: Plan | None = None
    saves_card: bool = False
    success_url: str = ""
    cancel_url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sold:
    """Everything that users can buy. must_choose: the owner wants a page before Stripe's."""

    terms: Terms
    packs: tuple[Pack, ...]
    plans: tuple[Plan, ...]
    must_choose: bool
    credit_name: str
    credits_per_unit: int

    def suggestions(self) -> list[tuple[int, str]]:
        """Amounts in nanos, and as a form sends them."""
        return [(nanos, format_nanos(nanos)) for nanos in self.terms.suggested_nanos]

    def in_credits(self, nanos: int) -> str:
        """The amount in the paywall's own unit; empty where it shows money."""
        if not self.credit_name:
            return ""
        return f"{format_nanos(nanos * self.credits_per_unit)} {self.credit_name}"


def sold(paywall: Paywall) -> Sold:
    """What there is now."""
    how, listed = settings_of(paywall), rules.price_list(paywall.pk)
    on_sale = {"paywall": paywall, "is_active": True, "currency": paywall.currency}
    return Sold(
        terms=terms_of(how),
        packs=tuple(Pack.objects.filter(**on_sale)),
        plans=tuple(Plan.objects.filter(**on_sale)),
        must_choose=how.choose_first,
        credit_name=listed.credits_name if listed else "",
        credits_per_unit=listed.credits_per_unit if listed else 0,
    )


def settings_of(paywall: Paywall) -> PaymentSettings:
    """The paywall's own, or the usual ones."""
    found = PaymentSettings.objects.filter(paywall=paywall).first()
    return found or PaymentSettings(paywall=paywall)


def account_of(paywall: Paywall, *, livemode: bool) -> StripeAccount | None:
    """The key through which users of this mode pay; None where nothing can be bought.

    A test user of a live paywall cannot pay: real money would buy test credit.
    """
    return StripeAccount.objects.filter(
        paywall=paywall, is_active=True, livemode=livemode, paywall__archived_at=None
    ).first()


def terms_of(settings: PaymentSettings) -> Terms:
    """Limits and suggestions; in currencies of small units the usual ones are scaled."""
    currency = settings.paywall.currency
    usual = amounts.suggestions(currency)
    step = amounts.nanos_of_minor(currency)
    is_usual = settings._state.adding  # noqa: SLF001 - Django's documented way to ask.
    least = max(settings.least_nanos, amounts.LEAST_MINOR.get(currency, 1) * step)
    most = settings.most_nanos if not is_usual else amounts.usual_most(currency)
    suggested = tuple(n for n in settings.suggested_nanos or usual if least <= n <= most)
    return Terms(
        currency=currency,
        least_nanos=least,
        most_nanos=min(most, amounts.MOST_MINOR * step),
        suggested_nanos=suggested or (least,),
    )


def topup(terms: Terms, amount_nanos: int, *, success_url: str = "", cancel_url: str = "") -> Draft:
    """Any amount between the limits.

    Raises: InvalidRequestError.
    """
    if not terms.least_nanos <= amount_nanos <= terms.most_nanos:
        low, high = format_nanos(terms.least_nanos), format_nanos(terms.most_nanos)
        raise InvalidRequestError(
            f"Choose an amount from {low} to {high} {terms.currency}.", param="amount"
        )
    return Draft(
        kind=Order.Kind.TOPUP,
        price_minor=amounts.to_minor(amount_nanos, terms.currency),
        credit_nanos=amount_nanos,
        success_url=success_url,
        cancel_url=cancel_url,
    )


def pack(chosen: Pack, *, success_url: str = "", cancel_url: str = "") -> Draft:
    """A pack as it is now."""
    return Draft(
        kind=Order.Kind.PACK,
        price_minor=chosen.price_minor,
        credit_nanos=chosen.credit_nanos,
        bonus_nanos=chosen.bonus_nanos,
        pack=chosen,
        success_url=success_url,
        cancel_url=cancel_url,
    )


def plan(chosen: Plan, *, success_url: str = "", cancel_url: str = "") -> Draft:
    """A plan's first cycle; the credit comes with its invoice, as for every cycle."""
    return Draft(
        kind=Order.Kind.PLAN,
        price_minor=chosen.price_minor,
        credit_nanos=chosen.credit_nanos,
        plan=chosen,
        success_url=success_url,
        cancel_url=cancel_url,
    )


def again(order: Order) -> Draft:
    """The same once more, at what it costs now.

    Raises: OrderNotPossibleError when it is not sold any more.
    """
    urls = {"success_url": order.success_url, "cancel_url": order.cancel_url}
    sold = order.pack or order.plan
    if sold and not sold.is_active:
        raise OrderNotPossibleError("This is not sold any more: choose again.")
    if order.pack:
        return pack(order.pack, **urls)
    if order.plan:
        return plan(order.plan, **urls)
    amount = topup(terms_of(settings_of(order.paywall)), order.credit_nanos, **urls)
    return replace(amount, saves_card=order.saves_card)


def start(user: EndUser, draft: Draft) -> Order:
    """The user's open order for this, made if there is none. `user.paywall` is loaded.

    Raises: OrderNotPossibleError.
    """
    thing = draft.pack or draft.plan
    if thing and thing.currency != user.paywall.currency:
        raise OrderNotPossibleError("This is sold in another currency than the paywall's.")
    with transaction.atomic():
        account = account_of(user.paywall, livemode=user.livemode)
        if account is None:
            raise OrderNotPossibleError("This paywall takes no payments.")
        if draft.plan and plans.running(user):
            raise OrderNotPossibleError(
                "This user has a plan already: they change or end it in the portal."
            )
        what: dict[str, Any] = {
            "account": account,
            "user": user,
            "kind": draft.kind,
            "price_minor": draft.price_minor,
            "pack": draft.pack,
            "plan": draft.plan,
            "saves_card": draft.saves_card,
            "status": Order.Status.OPEN,
        }
        promised = {
            "currency": user.paywall.currency,
            "credit_nanos": draft.credit_nanos,
            "bonus_nanos": draft.bonus_nanos,
        }
        # What was promised before a change is not what is sold now; paid late, it is still kept.
        Order.objects.filter(**what).exclude(**promised).update(
            status=Order.Status.CANCELED, reason="what is sold has changed"
        )
        urls = {"success_url": draft.success_url, "cancel_url": draft.cancel_url}
        order, is_new = Order.objects.get_or_create(
            **what,
            defaults={**promised, **urls, "paywall": user.paywall, "livemode": account.livemode},
        )
        if is_new:
            _tell_link(order)
        elif draft.success_url or draft.cancel_url:
            Order.objects.filter(pk=order.pk).update(**urls)
    return find(order.pk)


def find(order_id: UUID) -> Order:
    """An order with what belongs to it."""
    return Order.objects.select_related("account__paywall", "paywall", "user", "pack", "plan").get(
        pk=order_id
    )


def return_url(text: str, settings: PaymentSettings, *, param: str) -> str:
    """An address of the app, if it is on one of the paywall's origins.

    Raises: InvalidRequestError.
    """
    for origin in settings.origins:
        rest = text.removeprefix(origin) if text.startswith(origin) else None
        is_below = rest is not None and rest[:1] in ("", "/", "?", "#")
        if is_below and text.isascii() and text.isprintable() and "\\" not in text:
            return text
    raise InvalidRequestError(
        f"`{param}` must be on an origin that is registered for this paywall.", param=param
    )


def on_session(event: InboxEvent) -> Outcome:
    """Something happened to a checkout session.

    Raises: StripeFailedError.
    """
    mine = Order.objects.filter(**of_account(event.account))
    order = mine.filter(session_id=event.object_id).first()
    if order is None:
        with translated():
            session = client.client_of(event.account).v1.checkout.sessions.retrieve(event.object_id)
        if session.mode == "setup":
            return cards.take_session(event.account, session.to_dict())
        found = order_named(event.account, session.to_dict().get("metadata"))
        if isinstance(found, Outcome):
            return found
        if found.session_id not in (None, event.object_id):
            return Outcome("quarantined", f"{found} has another session: {found.session_id}")
        # Its process ended between Stripe's answer and the row.
        Order.objects.filter(pk=found.pk, session_id=None).update(session_id=event.object_id)
        order = found
    return _outcome(fulfil.fulfil(find(order.pk), event.account))


def on_payment(event: InboxEvent) -> Outcome:
    """Something happened to a payment: of a session, or of an automatic top-up.

    Raises: StripeFailedError.
    """
    mine = Order.objects.filter(**of_account(event.account))
    order = mine.filter(payment_intent_id=event.object_id).first()
    if order is None:
        with translated():
            payment = client.client_of(event.account).v1.payment_intents.retrieve(event.object_id)
        found = order_named(event.account, payment.to_dict().get("metadata"))
        if isinstance(found, Outcome):
            return found
        order = found
    if order.kind == Order.Kind.REFILL and not order.payment_intent_id:
        Order.objects.filter(pk=order.pk, payment_intent_id="").update(
            payment_intent_id=event.object_id
        )
    if order.session_id is None and order.kind != Order.Kind.REFILL:
        return Outcome("ignored", "the session's own event says more")
    return _outcome(fulfil.fulfil(find(order.pk), event.account))


def _outcome(order: Order) -> Outcome:
    if order.status == Order.Status.QUARANTINED:
        return Outcome("quarantined", f"{order.public_id}: {order.reason}")
    return Outcome("done", f"{order.public_id}: {order.status}")


def _tell_link(order: Order) -> None:
    facts = {
        "redirectUrl": links.checkout_url(order.user_id),
        "checkoutSessionId": order.public_id,
    }
    outbox.emit(
        order.paywall,
        Event(
            type="paywall.balance.topup.link.created",
            user_id=order.user_id,
            livemode=order.livemode,
            facts=facts,
        ),
    )
