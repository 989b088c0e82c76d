"""Plans: each paid cycle of a subscription brings its credit, once.

Only the invoices of a subscription's start and of its renewals do (`GRANTING`). A change in the
middle of a cycle moves money at Stripe alone: the next cycle brings the new plan's credit. An
invoice that was marked as paid outside of Stripe counts, a trial's, which costs nothing, does not.
A yearly plan may bring its credit month by month: `drips`.
"""

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import structlog
from django.db import transaction

from billing import movements
from billing.movements import Reason
from billing.stripe import client, drips, reversals
from billing.stripe.catalog import Plan
from billing.stripe.errors import translated
from billing.stripe.handlers import Outcome
from billing.stripe.models import Customer, InboxEvent, Order, PlanSubscription, StripeAccount
from billing.stripe.naming import id_of, order_named
from billing.webhooks import outbox
from billing.webhooks.events import Event
from config.kit import clock, ids
from config.kit.db import forbid_transaction
from paywalls.models import EndUser

log = structlog.get_logger(__name__)

ACTOR: Final = "stripe"
GRANTING: Final = frozenset({"subscription_create", "subscription_cycle"})
RUNNING: Final = frozenset({"active", "trialing", "past_due"})
"""What a user has, and need not buy again. Source: docs.stripe.com/billing/subscriptions/overview
(statuses)."""

ENTITLED: Final = frozenset({"active", "trialing"})
TOLD: Final = {
    "past_due": "paywall.subscription.past_due",
    "canceled": "paywall.subscription.canceled",
}


def on_invoice(event: InboxEvent) -> Outcome:
    """An invoice was paid, or its payment failed.

    Raises: StripeFailedError.
    """
    return take_invoice(event.account, event.object_id)


def on_subscription(event: InboxEvent) -> Outcome:
    """A subscription began, changed or ended.

    Raises: StripeFailedError.
    """
    return follow(event.account, event.object_id)


def running(user: EndUser) -> list[PlanSubscription]:
    """The user's subscriptions that are not over, the oldest first."""
    found = PlanSubscription.objects.select_related("plan").filter(user=user, status__in=RUNNING)
    return list(found.order_by("id"))


def follow(account: StripeAccount, subscription_id: str) -> Outcome:
    """Keeps what Stripe says of a subscription now.

    Raises: StripeFailedError.
    """
    forbid_transaction()
    with translated():
        found = client.client_of(account).v1.subscriptions.retrieve(subscription_id)
    subscription = found.to_dict()
    order = order_named(account, subscription.get("metadata"))
    if isinstance(order, Outcome):
        return order
    item = subscription["items"]["data"][0]
    price = item["price"]
    plan = _plan_of(order, price["id"], price.get("unit_amount"))
    if plan is None:
        return Outcome("quarantined", f"{price['id']} is not the price of a plan")
    with transaction.atomic():
        _lock(order)
        _keep(order, plan, subscription)
    return Outcome("done", f"{subscription_id}: {subscription['status']}")


def is_ours(account: StripeAccount, invoice: Mapping[str, Any]) -> bool:
    """Whether an invoice is of a subscription that one of our orders began."""
    origin = (invoice.get("parent") or {}).get("subscription_details") or {}
    return isinstance(order_named(account, origin.get("metadata")), Order)


def take_invoice(account: StripeAccount, invoice_id: str) -> Outcome:
    """Credits the cycle that an invoice has paid; whoever comes second finds it done.

    Raises: StripeFailedError.
    """
    forbid_transaction()
    with translated():
        found = client.client_of(account).v1.invoices.retrieve(invoice_id, {"expand": ["payments"]})
    invoice = found.to_dict()
    origin = (invoice.get("parent") or {}).get("subscription_details") or {}
    order = order_named(account, origin.get("metadata"))
    if isinstance(order, Outcome):
        return order
    # First the row that reversals and a second purchase look for.
    outcome = follow(account, id_of(origin["subscription"]))
    if outcome.state != "done" or invoice["status"] != "paid":
        return outcome
    if invoice["billing_reason"] not in GRANTING:
        return Outcome("done", f"no credit: {invoice['billing_reason']}")
    lines = [line for line in invoice["lines"]["data"] if _is_cycle(line)]
    if len(lines) != 1:
        return Outcome("quarantined", f"{len(lines)} lines of plans, one was expected")
    return _grant(order, invoice, lines[0])


def _grant(order: Order, invoice: Mapping[str, Any], line: Mapping[str, Any]) -> Outcome:
    price_id, each_minor = price_of(line)
    plan = _plan_of(order, price_id, each_minor)
    if plan is None:
        return Outcome("quarantined", f"{price_id} is not the price of a plan")
    if line["amount"] <= 0 < plan.price_minor:
        return Outcome("done", "no credit: a trial")
    if invoice["currency"].upper() != order.currency:
        return Outcome("quarantined", f"it is in {invoice['currency']}")
    credit = plan.credit_nanos * (line.get("quantity") or 1)
    if not credit:
        return Outcome("done", "the plan brings no credit")
    with transaction.atomic():
        _lock(order)
        if Order.objects.filter(paywall=order.paywall_id, **_cycle(invoice)).exists():
            return Outcome("done", "credited already")
        row = Order.objects.create(
            paywall=order.paywall,
            user=order.user,
            account=order.account,
            livemode=order.livemode,
            plan=plan,
            price_minor=line["amount"],
            currency=order.currency,
            credit_nanos=credit * drips.months_of(plan),
            status=Order.Status.PAID,
            paid_at=clock.now(),
            paid_minor=invoice["amount_paid"],
            payment_intent_id=payment_of(invoice),
            receipt_url=invoice.get("hosted_invoice_url") or "",
            **_cycle(invoice),
        )
        subscription_id = id_of(invoice["parent"]["subscription_details"]["subscription"])
        starts, ends = (_moment(line["period"][name]) for name in ("start", "end"))
        if plan.drips:
            kept = PlanSubscription.objects.get(subscription_id=subscription_id)
            drips.begin(row, kept, credit, starts, ends)
        else:
            _credit(row, plan, starts, ends)
        reversals.settle(row)
        if invoice["billing_reason"] == "subscription_cycle":
            _tell(row, "paywall.subscription.renewed", subscription_id)
    return Outcome("done", f"{row.public_id}: {plan.name}")


def _credit(row: Order, plan: Plan, starts: dt.datetime, ends: dt.datetime) -> None:
    assert row.paid_at is not None, row
    why = Reason(
        actor=ACTOR,
        reason=f"Plan {row.public_id}",
        ref=f"{row.invoice_id}:{int(starts.timestamp())}",
        metadata={"plan": ids.encode("plan", plan.pk)},
    )
    moved = movements.cycle(
        row.paywall,
        row.user.external_id,
        row.credit_nanos,
        why,
        livemode=row.livemode,
        expires_at=drips.lapses_at(starts, ends, row.paid_at) if plan.resets else None,
    )
    row.transaction_id = moved.transaction_id
    row.save(update_fields=["transaction_id"])


def price_of(line: Mapping[str, Any]) -> tuple[str, int | None]:
    """The id of a line's price, and what one of it costs in minor units."""
    pricing = line.get("pricing") or {}
    each = Decimal(str(pricing.get("unit_amount_decimal") or 0))
    price_id = id_of((pricing.get("price_details") or {}).get("price"))
    return price_id, int(each) if each == int(each) else None


def payment_of(invoice: Mapping[str, Any]) -> str:
    """The payment behind a paid invoice; empty when it was free or paid elsewhere."""
    payments = (invoice.get("payments") or {}).get("data") or []
    paid = [each["payment"] for each in payments if each["status"] == "paid"]
    return next((id_of(each["payment_intent"]) for each in paid if each.get("payment_intent")), "")


def _is_cycle(line: Mapping[str, Any]) -> bool:
    """A subscription's own line, not what a change in the middle of a cycle costs."""
    details = (line.get("parent") or {}).get("subscription_item_details")
    return details is not None and not details["proration"]


def _plan_of(order: Order, price_id: str, each_minor: int | None) -> Plan | None:
    """The plan that a price is for. A plan of ours has a new price at Stripe with each order."""
    synced = Plan.objects.filter(paywall=order.paywall_id, stripe_price_id=price_id).first()
    if synced or order.plan is None or order.plan.stripe_price_id:
        return synced
    return order.plan if each_minor == order.price_minor else None


def _cycle(invoice: Mapping[str, Any]) -> dict[str, Any]:
    """What a cycle's own order is found by: the one that was clicked has a session as well."""
    return {"kind": Order.Kind.PLAN, "invoice_id": invoice["id"], "session_id": None}


def _lock(order: Order) -> None:
    """One at a time for everything that one click began."""
    Order.objects.select_for_update(no_key=True, of=("self",)).get(pk=order.pk)


def _keep(order: Order, plan: Plan, subscription: Mapping[str, Any]) -> None:
    customer_id, item = id_of(subscription["customer"]), subscription["items"]["data"][0]
    # Somebody may have several customers at Stripe: the first one is used for new purchases.
    Customer.objects.bulk_create(
        [Customer(account=order.account, user=order.user, customer_id=customer_id)],
        ignore_conflicts=True,
    )
    known = PlanSubscription.objects.filter(subscription_id=subscription["id"]).first()
    was = known.status if known else ""
    now = {
        "plan": plan,
        "status": subscription["status"],
        "current_period_start": _moment(item["current_period_start"]),
        "current_period_end": _moment(item["current_period_end"]),
        "cancel_at_period_end": subscription["cancel_at_period_end"],
        "ended_at": _moment(ended) if (ended := subscription.get("ended_at")) else None,
        "updated_at": clock.now(),
    }
    kept, _ = PlanSubscription.objects.update_or_create(
        subscription_id=subscription["id"],
        defaults=now,
        create_defaults={**now, "account": order.account, "user": order.user},
    )
    drips.cut(kept)
    if subscription["status"] != was and (type_ := TOLD.get(subscription["status"])):
        _tell(order, type_, subscription["id"], plan)


def _tell(row: Order, type_: str, subscription_id: str, plan: Plan | None = None) -> None:
    sold = plan or row.plan
    assert sold is not None, row
    facts: dict[str, object] = {
        "planId": ids.encode("plan", sold.pk),
        "subscriptionId": subscription_id,
    }
    if plan is None:
        facts["activityId"] = row.transaction_id
    outbox.emit(
        row.paywall,
        Event(type=type_, user_id=row.user_id, livemode=row.livemode, source=ACTOR, facts=facts),
    )


def _moment(seconds: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)
