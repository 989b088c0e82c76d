"""Customers, and the ways to pay that are kept with them."""

from typing import Any

from tests.fakes.stripe import lists, methods
from tests.fakes.stripe.errors import NotFoundError
from tests.fakes.stripe.events import change, emit
from tests.fakes.stripe.expand import included
from tests.fakes.stripe.metadata import merged, nulls
from tests.fakes.stripe.routes import Call, Desk, api
from tests.fakes.stripe.world import Thing, new_id

PATH = "/v1/customers"
PLAIN = ("email", "name", "phone", "description", "address", "shipping", "preferred_locales")


def new(desk: Desk, **given: Any) -> Thing:
    """A customer with an event."""
    customer = {
        "id": new_id("cus_", 14),
        "object": "customer",
        **nulls("address currency default_source description email name phone shipping"),
        "balance": 0,
        "created": desk.now,
        "delinquent": False,
        "discount": None,
        "invoice_prefix": new_id("", 8).upper(),
        "invoice_settings": {
            **nulls("custom_fields default_payment_method footer rendering_options")
        },
        "livemode": desk.livemode,
        "metadata": {},
        "next_invoice_sequence": 1,
        "preferred_locales": [],
        "tax_exempt": "none",
        "test_clock": None,
        **given,
    }
    desk.realm.add(customer)
    emit(desk, "customer.created", customer)
    return customer


@api("POST", PATH, params="CustomerCreateParams", permission="customer")
def create(call: Call) -> Thing:
    given = call.params
    customer = new(
        call,
        **{name: given.get(name) or None for name in PLAIN if name in given},
        metadata=merged({}, given.get("metadata")),
    )
    if "payment_method" in given:
        method = methods.attach(call, given["payment_method"], customer)
        wanted = given.get("invoice_settings", {}).get("default_payment_method")
        if wanted in (given["payment_method"], method["id"]):
            customer["invoice_settings"]["default_payment_method"] = method["id"]
    return customer


@api("GET", PATH, params="CustomerListParams", permission="customer")
def show_all(call: Call) -> Thing:
    return lists.page(call, call.realm.all("customer"), url=PATH, filters=("email",))


@api("GET", PATH + "/{id}", params="CustomerRetrieveParams", permission="customer")
def show(call: Call) -> Thing:
    customer = call.realm.find("customer", call.ids["id"])
    if customer.get("_deleted"):
        return {"id": customer["id"], "object": "customer", "deleted": True}
    return customer


@api("POST", PATH + "/{id}", params="CustomerUpdateParams", permission="customer")
def update(call: Call) -> Thing:
    customer, given = present(call, call.ids["id"], param="id"), call.params
    changes = {name: given[name] or None for name in PLAIN if name in given}
    changes["metadata"] = merged(customer["metadata"], given.get("metadata"))
    if "invoice_settings" in given:
        default = given["invoice_settings"].get("default_payment_method")
        if default:
            call.realm.find("payment_method", default)
        settings = customer["invoice_settings"]
        changes["invoice_settings"] = {**settings, "default_payment_method": default or None}
    change(call, "customer.updated", customer, **changes)
    return customer


@api("DELETE", PATH + "/{id}", params="CustomerDeleteParams", permission="customer")
def delete(call: Call) -> Thing:
    customer = present(call, call.ids["id"], param="id")
    emit(call, "customer.deleted", customer)
    customer["_deleted"] = True
    return show(call)


def present(desk: Desk, customer_id: str, *, param: str = "customer") -> Thing:
    """Raises: NotFoundError, also for one that was deleted."""
    customer = desk.realm.find("customer", customer_id, param=param)
    if customer.get("_deleted"):
        raise NotFoundError("customer", customer_id, param=param)
    return customer


@included("customer", "subscriptions")
def subscriptions(desk: Desk, customer: Thing) -> Thing:
    mine = desk.realm.where("subscription", customer=customer["id"])
    running = [each for each in mine if each["status"] != "canceled"]
    return lists.whole(running[::-1], f"/v1/customers/{customer['id']}/subscriptions")


@api(
    "GET",
    PATH + "/{id}/payment_methods",
    params="CustomerPaymentMethodListParams",
    permission="payment_method",
)
def show_methods(call: Call) -> Thing:
    customer = present(call, call.ids["id"], param="id")
    mine = call.realm.where("payment_method", customer=customer["id"])
    return lists.page(call, mine, url=f"{PATH}/{customer['id']}/payment_methods", filters=("type",))
