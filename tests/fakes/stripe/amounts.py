"""What a checkout costs: line items, less discounts, plus tax."""

from typing import Any, Final

from tests.fakes.stripe import catalog, coupons
from tests.fakes.stripe.errors import ApiError
from tests.fakes.stripe.metadata import merged
from tests.fakes.stripe.routes import Desk
from tests.fakes.stripe.world import Thing, new_id

TAX_PERCENT: Final = 20
ITEMS_MAX = 100


def line_items(desk: Desk, given: list[dict[str, Any]]) -> list[Thing]:
    """Line items without discount and tax, from prices or inline price data.

    Raises: ApiError
    """
    if len(given) > ITEMS_MAX:
        raise ApiError(f"At most {ITEMS_MAX} line items.", param="line_items")
    items = [_line_item(desk, each) for each in given]
    if len({item["currency"] for item in items}) > 1:
        raise ApiError(
            "The price specified supports currencies that do not match the other prices.",
            param="line_items",
        )
    return items


def _line_item(desk: Desk, given: dict[str, Any]) -> Thing:
    price = _price(desk, given)
    quantity = given.get("quantity", 1)
    if quantity < 1:
        raise ApiError("Invalid quantity: must be at least 1", param="line_items[quantity]")
    product = desk.realm.find("product", price["product"])
    amount = (price["unit_amount"] or 0) * quantity
    return {
        "id": new_id("li_1"),
        "object": "item",
        "amount_discount": 0,
        "amount_subtotal": amount,
        "amount_tax": 0,
        "amount_total": amount,
        "currency": price["currency"],
        "description": product["name"],
        "price": price,
        "quantity": quantity,
    }


def _price(desk: Desk, given: dict[str, Any]) -> Thing:
    if ("price" in given) == ("price_data" in given):
        raise ApiError("Each line item needs either `price` or `price_data`.", param="line_items")
    if "price" in given:
        price = desk.realm.find("price", given["price"], param="line_items[0][price]")
        if not price["active"]:
            raise ApiError(f"The price specified is inactive: {price['id']}.", param="line_items")
        return price
    data = given["price_data"]
    if "product" in data:
        product = desk.realm.find("product", data["product"], param="product")
    elif "product_data" in data:
        about = data["product_data"]
        if not about["name"]:
            raise ApiError("Product name must not be empty.", code="parameter_invalid_empty")
        product = catalog.new_product(
            desk,
            about["name"],
            active=False,
            description=about.get("description"),
            metadata=merged({}, about.get("metadata")),
        )
    else:
        raise ApiError("`price_data` needs `product` or `product_data`.", param="price_data")
    return catalog.new_price(desk, data, product["id"], active=False)


def apply(desk: Desk, items: list[Thing], entries: list[Thing], *, has_tax: bool) -> Thing:
    """Set discount, tax and total of each item; returns the session's `total_details`.

    entries: as in `discounts`. Raises: ApiError
    """
    subtotal = sum(item["amount_subtotal"] for item in items)
    left = 0
    for entry in entries:
        coupon, _ = coupons.usable(
            desk, {name: value for name, value in entry.items() if value is not None}
        )
        left += coupons.off(coupon, subtotal, items[0]["currency"])
    for item in items:
        cut = min(left, item["amount_subtotal"])
        left -= cut
        net = item["amount_subtotal"] - cut
        tax, total = taxed(net, item["price"]["tax_behavior"]) if has_tax else (0, net)
        item |= {"amount_discount": cut, "amount_tax": tax, "amount_total": total}
    return {
        "amount_discount": sum(item["amount_discount"] for item in items),
        "amount_shipping": 0,
        "amount_tax": sum(item["amount_tax"] for item in items),
    }


def taxed(net: int, behaviour: str) -> tuple[int, int]:
    """(tax, total): on top, unless the price says that it is in it."""
    if behaviour == "inclusive":
        return net - round(net * 100 / (100 + TAX_PERCENT)), net
    tax = round(net * TAX_PERCENT / 100)
    return tax, net + tax
