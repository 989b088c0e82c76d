"""Products and prices."""

from decimal import Decimal
from typing import Any

from tests.fakes.stripe import lists
from tests.fakes.stripe.errors import ApiError
from tests.fakes.stripe.events import change, emit
from tests.fakes.stripe.metadata import merged, nulls
from tests.fakes.stripe.routes import Call, Desk, api
from tests.fakes.stripe.world import Thing, new_id

AMOUNT_MAX = 99_999_999
NAMED_MAX = 10


def new_product(desk: Desk, name: str, **given: Any) -> Thing:
    product = {
        "id": new_id("prod_", 14),
        "object": "product",
        "active": True,
        "created": desk.now,
        **nulls("default_price description package_dimensions shippable statement_descriptor"),
        **nulls("tax_code unit_label url"),
        "images": [],
        "livemode": desk.livemode,
        "marketing_features": [],
        "metadata": {},
        "name": name,
        "type": "service",
        "updated": desk.now,
        **given,
    }
    desk.realm.add(product)
    emit(desk, "product.created", product)
    return product


def new_price(desk: Desk, given: dict[str, Any], product: str, **more: Any) -> Thing:
    """A price of `price_data` or of the parameters of a price itself.

    Raises: ApiError
    """
    amount = unit_amount(given)
    recurring = given.get("recurring")
    price = {
        "id": new_id("price_1"),
        "object": "price",
        "active": given.get("active", True),
        "billing_scheme": "per_unit",
        "created": desk.now,
        "currency": given["currency"].lower(),
        "custom_unit_amount": None,
        "livemode": desk.livemode,
        "lookup_key": given.get("lookup_key"),
        "metadata": merged({}, given.get("metadata")),
        "nickname": given.get("nickname"),
        "product": product,
        "recurring": recurring and _recurring(recurring),
        "tax_behavior": given.get("tax_behavior", "unspecified"),
        **nulls("tiers_mode transform_quantity"),
        "type": "recurring" if recurring else "one_time",
        "unit_amount": amount,
        "unit_amount_decimal": None if amount is None else str(amount),
        **more,
    }
    if (custom := given.get("custom_unit_amount")) and custom.get("enabled"):
        price["custom_unit_amount"] = {
            "maximum": custom.get("maximum"),
            "minimum": custom.get("minimum"),
            "preset": custom.get("preset"),
        }
    desk.realm.add(price)
    emit(desk, "price.created", price)
    return price


def unit_amount(given: dict[str, Any]) -> int | None:
    """Whole minor units. Raises: ApiError"""
    amount = given.get("unit_amount")
    if "unit_amount_decimal" in given:
        decimal = Decimal(given["unit_amount_decimal"])
        if decimal != int(decimal):
            raise ApiError("This stand-in has whole minor units alone.", param="unit_amount")
        amount = int(decimal)
    if amount is None:
        if "custom_unit_amount" in given:
            return None
        raise ApiError("You must provide `unit_amount`.", code="parameter_missing")
    if amount < 0:
        raise ApiError("Invalid non-negative integer", param="unit_amount")
    if amount > AMOUNT_MAX:
        raise ApiError(
            f"Amount must be no more than {AMOUNT_MAX}.", code="amount_too_large", param="amount"
        )
    return int(amount)


def _recurring(given: dict[str, Any]) -> Thing:
    return {
        "interval": given["interval"],
        "interval_count": given.get("interval_count", 1),
        "meter": None,
        "trial_period_days": given.get("trial_period_days"),
        "usage_type": given.get("usage_type", "licensed"),
    }


PRODUCTS, PRICES = "/v1/products", "/v1/prices"


@api("POST", PRODUCTS, params="ProductCreateParams", permission="product")
def create_product(call: Call) -> Thing:
    given = call.params
    names = ("id", "description", "active", "tax_code")
    more: dict[str, Any] = {name: given[name] for name in names if name in given}
    product = new_product(call, given["name"], metadata=merged({}, given.get("metadata")), **more)
    if "default_price_data" in given:
        price = new_price(call, given["default_price_data"], product["id"])
        product["default_price"] = price["id"]
    return product


@api("GET", PRODUCTS, params="ProductListParams", permission="product")
def show_products(call: Call) -> Thing:
    found = call.realm.all("product")
    if ids := call.params.get("ids"):
        found = [product for product in found if product["id"] in ids]
    return lists.page(call, found, url=PRODUCTS, filters=("active", "type", "url"))


@api("GET", PRODUCTS + "/{id}", params="ProductRetrieveParams", permission="product")
def show_product(call: Call) -> Thing:
    return call.realm.find("product", call.ids["id"])


@api("POST", PRODUCTS + "/{id}", params="ProductUpdateParams", permission="product")
def update_product(call: Call) -> Thing:
    product, given = show_product(call), call.params
    names = ("name", "description", "active", "default_price", "tax_code")
    changes = {name: given[name] for name in names if name in given}
    changes["metadata"] = merged(product["metadata"], given.get("metadata"))
    if change(call, None, product, **changes):
        product["updated"] = call.now
        emit(call, "product.updated", product, changes)
    return product


@api("DELETE", PRODUCTS + "/{id}", params="ProductDeleteParams", permission="product")
def delete_product(call: Call) -> Thing:
    """Only without prices. Raises: ApiError"""
    product = show_product(call)
    if call.realm.where("price", product=product["id"]):
        raise ApiError("This product cannot be deleted because it has one or more prices.")
    del call.realm.things["product"][product["id"]]
    emit(call, "product.deleted", product)
    return {"id": product["id"], "object": "product", "deleted": True}


@api("POST", PRICES, params="PriceCreateParams", permission="plan")
def create_price(call: Call) -> Thing:
    given = call.params
    if "product" in given:
        product = call.realm.find("product", given["product"], param="product")
    elif "product_data" in given:
        product = new_product(
            call,
            given["product_data"]["name"],
            metadata=merged({}, given["product_data"].get("metadata")),
        )
    else:
        raise ApiError("You must provide one of `product` or `product_data`.")
    return new_price(call, given, product["id"])


@api("GET", PRICES, params="PriceListParams", permission="plan")
def show_prices(call: Call) -> Thing:
    found = list(call.realm.all("price"))
    if keys := call.params.get("lookup_keys"):
        if len(keys) > NAMED_MAX:
            raise ApiError(f"At most {NAMED_MAX} lookup_keys.", param="lookup_keys")
        found = [price for price in found if price["lookup_key"] in keys]
    if recurring := call.params.get("recurring"):
        found = [
            price
            for price in found
            if price["recurring"]
            and all(price["recurring"].get(name) == value for name, value in recurring.items())
        ]
    return lists.page(call, found, url=PRICES, filters=("active", "currency", "product", "type"))


@api("GET", PRICES + "/{id}", params="PriceRetrieveParams", permission="plan")
def show_price(call: Call) -> Thing:
    return call.realm.find("price", call.ids["id"])


@api("POST", PRICES + "/{id}", params="PriceUpdateParams", permission="plan")
def update_price(call: Call) -> Thing:
    price, given = show_price(call), call.params
    names = ("active", "nickname", "lookup_key", "tax_behavior")
    changes = {name: given[name] for name in names if name in given}
    changes["metadata"] = merged(price["metadata"], given.get("metadata"))
    change(call, "price.updated", price, **changes)
    return price
