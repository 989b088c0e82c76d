"""Subscriptions as the API makes, shows and changes them."""

from typing import Any, Final

from tests.fakes.stripe import customers, lists, methods, proration, subscriptions
from tests.fakes.stripe.errors import ApiError, CardError
from tests.fakes.stripe.events import change
from tests.fakes.stripe.metadata import merged
from tests.fakes.stripe.routes import Call, api
from tests.fakes.stripe.world import Thing

PATH = "/v1/subscriptions"
CREATE: Final = frozenset(
    {
        *("customer", "items", "metadata", "default_payment_method", "trial_period_days"),
        *("description", "discounts", "off_session", "payment_behavior", "expand"),
    }
)
UPDATE: Final = frozenset(
    {
        *("items", "metadata", "default_payment_method", "cancel_at_period_end", "description"),
        *("proration_behavior", "proration_date", "payment_behavior", "expand", "off_session"),
        *("cancellation_details",),
    }
)


def check_served(given: dict[str, Any], served: frozenset[str]) -> None:
    """Raises: ApiError, so that nothing is silently left out."""
    for name in given:
        if name not in served:
            raise ApiError(f"This stand-in does not serve the parameter {name}.", param=name)


@api("POST", PATH, params="SubscriptionCreateParams", permission="subscription")
def create(call: Call) -> Thing:
    given = call.params
    check_served(given, CREATE)
    customer = customers.present(call, given["customer"])
    priced = [_priced(call, each) for each in given.get("items", [])]
    if not priced:
        raise ApiError("Missing required param: items.", code="parameter_missing", param="items")
    method = given.get("default_payment_method")
    has_method = method or customer["invoice_settings"]["default_payment_method"]
    if not has_method and not given.get("trial_period_days"):
        raise ApiError(
            "This customer has no attached payment source or default payment method.",
            code="resource_missing",
        )
    subscription = subscriptions.new(
        call,
        customer,
        priced,
        trial_days=given.get("trial_period_days", 0),
        metadata=merged({}, given.get("metadata")),
        description=given.get("description"),
        default_payment_method=method,
    )
    subscriptions.discount(call, subscription, given.get("discounts") or [], None)
    invoice = subscriptions.start(
        call,
        subscription,
        methods.known(call, method) if method else None,
        extra=[],
        is_present=False,
    )
    if given.get("payment_behavior") == "error_if_incomplete" and invoice["status"] != "paid":
        raise CardError("Your card was declined.", code="card_declined")
    return subscription


def _priced(call: Call, each: dict[str, Any]) -> tuple[Thing, int]:
    if "price" not in each:
        raise ApiError("This stand-in wants `items[][price]`.", param="items")
    price = call.realm.find("price", each["price"], param="items[price]")
    if not price["recurring"]:
        raise ApiError(f"The price {price['id']} is not recurring.", param="items")
    return price, each.get("quantity", 1)


@api("GET", PATH, params="SubscriptionListParams", permission="subscription")
def show_all(call: Call) -> Thing:
    wanted = call.params.get("status")
    found = list(call.realm.all("subscription"))
    if wanted is None:
        found = [each for each in found if each["status"] not in ("canceled", "incomplete_expired")]
    elif wanted not in ("all", "ended"):
        found = [each for each in found if each["status"] == wanted]
    elif wanted == "ended":
        found = [each for each in found if each["ended_at"]]
    if price := call.params.get("price"):
        found = [
            each
            for each in found
            if price in [item["price"]["id"] for item in subscriptions.items_of(each)]
        ]
    return lists.page(call, found, url=PATH, filters=("customer",))


@api("GET", PATH + "/{id}", params="SubscriptionRetrieveParams", permission="subscription")
def show(call: Call) -> Thing:
    return call.realm.find("subscription", call.ids["id"])


@api("POST", PATH + "/{id}", params="SubscriptionUpdateParams", permission="subscription")
def update(call: Call) -> Thing:
    subscription, given = show(call), call.params
    check_served(given, UPDATE)
    if subscription["status"] in ("canceled", "incomplete_expired"):
        raise ApiError(f"A {subscription['status']} subscription can only be updated in metadata.")
    if "cancel_at_period_end" in given:
        wanted = given["cancel_at_period_end"]
        subscriptions.set_cancel_at_end(call, subscription, wanted=wanted)
    changes: dict[str, Any] = {"metadata": merged(subscription["metadata"], given.get("metadata"))}
    for name in ("description", "default_payment_method"):
        if name in given:
            changes[name] = given[name] or None
    if "items" not in given:
        change(call, "customer.subscription.updated", subscription, **changes)
        return subscription
    previous = change(call, None, subscription, **changes)
    proration.apply(
        call,
        subscription,
        [_wanted(call, each) for each in given["items"]],
        given.get("proration_behavior", "create_prorations"),
        previous,
    )
    return subscription


def _wanted(call: Call, each: dict[str, Any]) -> tuple[str, Thing, int]:
    """(item, its price from now on, quantity)."""
    check_served(each, frozenset({"id", "price", "quantity"}))
    item = call.realm.find("subscription_item", str(each.get("id")), param="items[id]")
    price = call.realm.find("price", each.get("price", item["price"]["id"]), param="items[price]")
    quantity: int = each.get("quantity") or item["quantity"]
    return str(item["id"]), price, quantity


@api("DELETE", PATH + "/{id}", params="SubscriptionCancelParams", permission="subscription")
def cancel(call: Call) -> Thing:
    subscription = show(call)
    if subscription["status"] == "canceled":
        raise ApiError(f"No such subscription: '{subscription['id']}'", code="resource_missing")
    subscriptions.end(call, subscription, "cancellation_requested")
    return subscription
