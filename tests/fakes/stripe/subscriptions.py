"""What subscriptions do: start, renew, fall behind, change, end. Their API: `plans.py`."""

from typing import Any, Final

from tests.fakes.stripe import coupons, invoices
from tests.fakes.stripe.events import change, emit
from tests.fakes.stripe.lists import whole
from tests.fakes.stripe.metadata import nulls
from tests.fakes.stripe.periods import DAY_S, end_of
from tests.fakes.stripe.routes import Desk
from tests.fakes.stripe.world import Thing, new_id

INCOMPLETE_S: Final = 23 * 3600
WARN_S: Final = 3 * DAY_S
RUNNING: Final = ("active", "trialing", "past_due")
NULL: Final = """application application_fee_percent billing_cycle_anchor_config
billing_thresholds cancel_at canceled_at days_until_due default_payment_method default_source
description ended_at latest_invoice next_pending_invoice_item_invoice on_behalf_of
pause_collection pending_invoice_item_interval pending_setup_intent pending_update schedule
test_clock transfer_data trial_end trial_start"""


def new(
    desk: Desk,
    customer: Thing,
    priced: list[tuple[Thing, int]],
    *,
    trial_days: int = 0,
    is_taxed: bool = False,
    **given: Any,
) -> Thing:
    """A subscription of (price, quantity) pairs, incomplete until its first invoice is paid."""
    subscription_id = new_id("sub_1")
    recurring = priced[0][0]["recurring"]
    ends = desk.now + trial_days * DAY_S if trial_days else end_of(desk.now, desk.now, recurring)
    items = [item(desk, subscription_id, price, quantity, ends) for price, quantity in priced]
    subscription = {
        "id": subscription_id,
        "object": "subscription",
        **nulls(NULL),
        "automatic_tax": {
            "disabled_reason": None,
            "enabled": is_taxed,
            "liability": {"type": "self"} if is_taxed else None,
        },
        "billing_cycle_anchor": ends if trial_days else desk.now,
        "billing_mode": {"type": "flexible", "flexible": {"proration_discounts": "included"}},
        "billing_schedules": [],
        "cancel_at_period_end": False,
        "cancellation_details": nulls("comment feedback reason"),
        "collection_method": "charge_automatically",
        "created": desk.now,
        "currency": priced[0][0]["currency"],
        "customer": customer["id"],
        "default_tax_rates": [],
        "discounts": [],
        "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}},
        "items": whole(items, f"/v1/subscription_items?subscription={subscription_id}"),
        "livemode": desk.livemode,
        "metadata": {},
        "payment_settings": {
            **nulls("payment_method_options payment_method_types"),
            "save_default_payment_method": "off",
        },
        "start_date": desk.now,
        "status": "trialing" if trial_days else "incomplete",
        "trial_settings": {"end_behavior": {"missing_payment_method": "create_invoice"}},
        **given,
    }
    if trial_days:
        subscription |= {"trial_start": desk.now, "trial_end": ends}
    return desk.realm.add(subscription)


def item(desk: Desk, subscription_id: str, price: Thing, quantity: int, ends: int) -> Thing:
    return desk.realm.add(
        {
            "id": new_id("si_", 14),
            "object": "subscription_item",
            "billing_thresholds": None,
            "created": desk.now,
            "current_period_end": ends,
            "current_period_start": desk.now,
            "discounts": [],
            "metadata": {},
            "plan": plan_of(price),
            "price": price,
            "quantity": quantity,
            "subscription": subscription_id,
            "tax_rates": [],
        }
    )


def plan_of(price: Thing) -> Thing:
    """The price in the older form."""
    recurring = price["recurring"]
    return {
        "id": price["id"],
        "object": "plan",
        "active": price["active"],
        "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"],
        "billing_scheme": "per_unit",
        "created": price["created"],
        "currency": price["currency"],
        "interval": recurring["interval"],
        "interval_count": recurring["interval_count"],
        "livemode": price["livemode"],
        "metadata": price["metadata"],
        **nulls("meter nickname tiers_mode transform_usage trial_period_days"),
        "product": price["product"],
        "usage_type": "licensed",
    }


def items_of(subscription: Thing) -> list[Thing]:
    found: list[Thing] = subscription["items"]["data"]
    return found


def period_end(subscription: Thing) -> int:
    return min(int(each["current_period_end"]) for each in items_of(subscription))


def start(
    desk: Desk, subscription: Thing, method: Thing | None, *, extra: list[Thing], is_present: bool
) -> Thing:
    """Its first invoice, tried at once. Returns the invoice.

    extra: lines of one-time prices that were bought with it.
    """
    is_trial = subscription["status"] == "trialing"
    lines = [_line(desk, each, is_free=is_trial) for each in items_of(subscription)]
    emit(desk, "customer.subscription.created", subscription)
    return bill(
        desk, subscription, lines + extra, "subscription_create", method, is_present=is_present
    )


def _line(desk: Desk, each: Thing, *, is_free: bool = False) -> Thing:
    amount = 0 if is_free else (each["price"]["unit_amount"] or 0) * each["quantity"]
    return invoices.line(
        desk,
        each["price"],
        each["quantity"],
        amount,
        period={"start": each["current_period_start"], "end": each["current_period_end"]},
        parent=invoices.parent_of_item(each),
        subscription=each["subscription"],
    )


def bill(
    desk: Desk,
    subscription: Thing,
    lines: list[Thing],
    reason: str,
    method: Thing | None,
    *,
    is_present: bool = False,
) -> Thing:
    """An invoice for the subscription, finalized and tried; the status follows."""
    customer = desk.realm.find("customer", subscription["customer"])
    invoice = invoices.new(
        desk,
        customer,
        lines,
        reason,
        subscription=subscription,
        discounts=list(subscription["discounts"]),
        is_taxed=subscription["automatic_tax"]["enabled"],
    )
    subscription["latest_invoice"] = invoice["id"]
    _forget_used_discounts(desk, subscription)
    invoices.finalize(desk, invoice)
    method = method or invoices.method_of(desk, invoice)
    is_paid = invoices.collect(desk, invoice, method, is_present=is_present)
    follow(desk, subscription, invoice, is_paid=is_paid)
    return invoice


def _forget_used_discounts(desk: Desk, subscription: Thing) -> None:
    """A coupon that lasts `once` is for one invoice."""
    subscription["discounts"] = [
        discount_id
        for discount_id in subscription["discounts"]
        if desk.realm.find("coupon", desk.realm.find("discount", discount_id)["source"]["coupon"])[
            "duration"
        ]
        != "once"
    ]


def follow(desk: Desk, subscription: Thing, invoice: Thing, *, is_paid: bool) -> None:
    """Set the status after a try to collect `invoice`."""
    status = subscription["status"]
    if status == "canceled":
        return
    if is_paid:
        if status != "trialing":
            change(desk, "customer.subscription.updated", subscription, status="active")
    elif status != "incomplete":
        has_next = invoices.schedule(desk, invoice)
        change(desk, "customer.subscription.updated", subscription, status="past_due")
        if not has_next:
            end(desk, subscription, "payment_failed")


def renew(desk: Desk, subscription: Thing) -> None:
    """The period is over: the next one with its invoice, or the end."""
    if subscription["cancel_at_period_end"]:
        end(desk, subscription, "cancellation_requested")
        return
    previous: Thing = {"items": {"data": [dict(each) for each in items_of(subscription)]}}
    for each in items_of(subscription):
        begins = each["current_period_end"]
        ends = end_of(begins, subscription["billing_cycle_anchor"], each["price"]["recurring"])
        each |= {"current_period_start": begins, "current_period_end": ends}
    if subscription["status"] == "trialing":
        previous["status"] = "trialing"
        subscription["status"] = "active"
    emit(desk, "customer.subscription.updated", subscription, previous)
    lines = [_line(desk, each) for each in items_of(subscription)]
    lines += take_pending(desk, subscription)
    bill(desk, subscription, lines, "subscription_cycle", None)


def take_pending(desk: Desk, subscription: Thing) -> list[Thing]:
    """Lines that waited for the next invoice."""
    waiting: list[Thing] = subscription.pop("_pending", [])
    return waiting


def end(desk: Desk, subscription: Thing, reason: str) -> None:
    """Over, now."""
    subscription |= {
        "status": "canceled",
        "canceled_at": subscription["canceled_at"] or desk.now,
        "ended_at": desk.now,
        "cancel_at_period_end": False,
    }
    subscription["cancellation_details"]["reason"] = reason
    for invoice in desk.realm.all("invoice"):
        if subscription["id"] == (invoices.subscription_of(desk, invoice) or {}).get("id"):
            invoice["next_payment_attempt"] = None
    emit(desk, "customer.subscription.deleted", subscription)


def warn(desk: Desk, subscription: Thing) -> None:
    """Its trial ends within three days."""
    subscription["_is_warned"] = True
    emit(desk, "customer.subscription.trial_will_end", subscription)


def expire(desk: Desk, subscription: Thing) -> None:
    """Its first invoice was never paid."""
    subscription["ended_at"] = desk.now
    change(desk, "customer.subscription.updated", subscription, status="incomplete_expired")


def set_cancel_at_end(desk: Desk, subscription: Thing, *, wanted: bool) -> None:
    """Let it end with the period, or not after all."""
    details = {
        **subscription["cancellation_details"],
        "reason": "cancellation_requested" if wanted else None,
    }
    change(
        desk,
        "customer.subscription.updated",
        subscription,
        cancel_at_period_end=wanted,
        cancel_at=period_end(subscription) if wanted else None,
        canceled_at=desk.now if wanted else None,
        cancellation_details=details,
    )


def discount(desk: Desk, subscription: Thing, entries: list[Thing], session: str | None) -> None:
    """Hang coupons on it, as they stand in `discounts` of a session or of parameters."""
    for entry in entries:
        given = {name: value for name, value in entry.items() if value}
        coupon, code = coupons.usable(desk, given)
        made = coupons.discount(
            desk,
            coupon,
            code,
            session=session,
            customer=subscription["customer"],
            subscription=subscription["id"],
        )
        subscription["discounts"] = [*subscription["discounts"], made["id"]]
