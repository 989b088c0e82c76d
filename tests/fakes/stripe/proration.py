"""Another price in the middle of a period, and what it costs for the rest of it."""

from typing import Any

from tests.fakes.stripe import invoices, subscriptions
from tests.fakes.stripe.errors import ApiError
from tests.fakes.stripe.events import emit
from tests.fakes.stripe.expand import public
from tests.fakes.stripe.periods import end_of
from tests.fakes.stripe.routes import Desk
from tests.fakes.stripe.world import Thing


def apply(
    desk: Desk,
    subscription: Thing,
    wanted: list[tuple[str, Thing, int]],
    behaviour: str,
    previous: dict[str, Any],
) -> None:
    """Give items other prices: settled on the next invoice, on one at once, or not at all.

    wanted: (item, price, quantity). behaviour: Stripe's `proration_behavior`. previous: what else
    has just changed.
    """
    items = subscriptions.items_of(subscription)
    previous["items"] = {"data": [public(each) for each in items]}
    rhythm = items[0]["price"]["recurring"]
    lines: list[Thing] = []
    for item_id, price, quantity in wanted:
        current = next(each for each in items if each["id"] == item_id)
        lines += switch(desk, subscription, current, price, quantity)
    emit(desk, "customer.subscription.updated", subscription, previous)
    is_new_rhythm = items[0]["price"]["recurring"] != rhythm
    if behaviour == "none":
        lines = [each for each in lines if is_new_rhythm and each["amount"] >= 0]
    if behaviour == "always_invoice" or is_new_rhythm:
        lines += subscriptions.take_pending(desk, subscription)
        subscriptions.bill(desk, subscription, lines, "subscription_update", None)
    else:
        subscription.setdefault("_pending", []).extend(lines)


def switch(
    desk: Desk, subscription: Thing, each: Thing, price: Thing, quantity: int
) -> list[Thing]:
    """Another price or quantity from now on; returns the lines that settle the difference.

    Raises: ApiError for another currency.
    """
    if price["currency"] != subscription["currency"]:
        raise ApiError("The price's currency is not the subscription's.", param="items")
    old_price, old_quantity = each["price"], each["quantity"]
    starts, ends = each["current_period_start"], each["current_period_end"]
    left, length = ends - desk.now, ends - starts
    is_new_rhythm = price["recurring"] != old_price["recurring"]
    each |= {"price": price, "plan": subscriptions.plan_of(price), "quantity": quantity}
    unused = -((old_price["unit_amount"] or 0) * old_quantity * left // length)
    more = (price["unit_amount"] or 0) * quantity
    if is_new_rhythm:
        subscription["billing_cycle_anchor"] = desk.now
        ends = end_of(desk.now, desk.now, price["recurring"])
        each |= {"current_period_start": desk.now, "current_period_end": ends}
    else:
        more = more * left // length
    common: dict[str, Any] = {
        "period": {"start": desk.now, "end": ends},
        "parent": invoices.parent_of_item(each, proration=True),
        "subscription": subscription["id"],
    }
    if is_new_rhythm:
        fresh = {**common, "parent": invoices.parent_of_item(each)}
        return [
            invoices.line(desk, old_price, old_quantity, unused, **common),
            invoices.line(desk, price, quantity, more, **fresh),
        ]
    return [
        invoices.line(desk, old_price, old_quantity, unused, **common),
        invoices.line(desk, price, quantity, more, **common),
    ]
