"""Coupons and the promotion codes that stand for them."""

from typing import Any

from tests.fakes.stripe import lists
from tests.fakes.stripe.errors import ApiError
from tests.fakes.stripe.events import change, emit
from tests.fakes.stripe.metadata import merged, nulls
from tests.fakes.stripe.routes import Call, Desk, api
from tests.fakes.stripe.world import Thing, new_id

COUPONS, CODES = "/v1/coupons", "/v1/promotion_codes"


def off(coupon: Thing, amount: int, currency: str) -> int:
    """Minor units that it takes off `amount`."""
    if coupon["percent_off"] is not None:
        percent: float = coupon["percent_off"]
        return round(amount * percent / 100)
    if coupon["currency"] != currency:
        raise ApiError(f"The coupon is in {coupon['currency']}, not {currency}.", param="discounts")
    return min(amount, int(coupon["amount_off"]))


def usable(desk: Desk, given: dict[str, Any]) -> tuple[Thing, Thing | None]:
    """The coupon, and the code if one stands for it, of an entry of `discounts`.

    Raises: ApiError for one that is used up, expired or switched off.
    """
    code = None
    coupon_id = given.get("coupon")
    if "promotion_code" in given:
        code = desk.realm.find("promotion_code", given["promotion_code"], param="promotion_code")
        coupon_id = code["promotion"]["coupon"]
        if not _is_open(desk, code) or not code["active"]:
            raise ApiError("This promotion code is invalid.", code="promotion_code_invalid")
    if not coupon_id:
        raise ApiError("You must specify a coupon or a promotion code.", param="discounts")
    coupon = desk.realm.find("coupon", coupon_id, param="coupon")
    if coupon.get("_deleted") or not _is_open(desk, coupon):
        raise ApiError(f"Coupon expired: {coupon_id}", code="coupon_expired", param="coupon")
    return coupon, code


def by_code(desk: Desk, text: str) -> dict[str, Any]:
    """What a customer typed, as an entry of `discounts`. Raises: ApiError"""
    for code in desk.realm.all("promotion_code"):
        if code["code"].lower() == text.lower() and code["active"]:
            return {"promotion_code": code["id"]}
    raise ApiError("This promotion code is invalid.", code="promotion_code_invalid")


def _is_open(desk: Desk, thing: Thing) -> bool:
    until = thing.get("redeem_by") or thing.get("expires_at")
    most = thing["max_redemptions"]
    return (until is None or until > desk.now) and (most is None or thing["times_redeemed"] < most)


def redeem(desk: Desk, entries: list[Thing]) -> None:
    """Count one use of each."""
    for entry in entries:
        used = {"coupon": entry.get("coupon"), "promotion_code": entry.get("promotion_code")}
        if used["promotion_code"]:
            code = desk.realm.find("promotion_code", used["promotion_code"])
            code["times_redeemed"] += 1
            used["coupon"] = code["promotion"]["coupon"]
        coupon = desk.realm.find("coupon", str(used["coupon"]))
        coupon["times_redeemed"] += 1
        coupon["valid"] = _is_open(desk, coupon)


def discount(
    desk: Desk, coupon: Thing, code: Thing | None, *, session: str | None, **given: Any
) -> Thing:
    """The use of a coupon, as it stands in amounts and invoices."""
    return desk.realm.add(
        {
            "id": new_id("di_1"),
            "object": "discount",
            "checkout_session": session,
            **nulls("customer end invoice invoice_item subscription subscription_item"),
            "promotion_code": code and code["id"],
            "source": {"coupon": coupon["id"], "type": "coupon"},
            "start": desk.now,
            **given,
        }
    )


@api("POST", COUPONS, params="CouponCreateParams", permission="coupon")
def create(call: Call) -> Thing:
    given = call.params
    if ("amount_off" in given) == ("percent_off" in given):
        raise ApiError("You must pass either percent_off or amount_off.")
    coupon = {
        "id": given.get("id") or new_id("", 8),
        "object": "coupon",
        "amount_off": given.get("amount_off"),
        "created": call.now,
        "currency": given.get("currency", "").lower() or None,
        "duration": given.get("duration", "once"),
        "duration_in_months": given.get("duration_in_months"),
        "livemode": call.livemode,
        "max_redemptions": given.get("max_redemptions"),
        "metadata": merged({}, given.get("metadata")),
        "name": given.get("name"),
        "percent_off": given.get("percent_off"),
        "redeem_by": given.get("redeem_by"),
        "times_redeemed": 0,
        "valid": True,
    }
    call.realm.add(coupon)
    emit(call, "coupon.created", coupon)
    return coupon


@api("GET", COUPONS, params="CouponListParams", permission="coupon")
def show_coupons(call: Call) -> Thing:
    kept = [coupon for coupon in call.realm.all("coupon") if not coupon.get("_deleted")]
    return lists.page(call, kept, url=COUPONS)


@api("GET", COUPONS + "/{id}", params="CouponRetrieveParams", permission="coupon")
def show_coupon(call: Call) -> Thing:
    return call.realm.find("coupon", call.ids["id"])


@api("DELETE", COUPONS + "/{id}", params="CouponDeleteParams", permission="coupon")
def delete_coupon(call: Call) -> Thing:
    coupon = show_coupon(call)
    coupon["_deleted"] = True
    emit(call, "coupon.deleted", coupon)
    return {"id": coupon["id"], "object": "coupon", "deleted": True}


@api("POST", CODES, params="PromotionCodeCreateParams", permission="promotion_code")
def create_code(call: Call) -> Thing:
    given = call.params
    coupon = call.realm.find("coupon", given["promotion"]["coupon"], param="promotion[coupon]")
    text = given.get("code") or new_id("", 8).upper()
    for other in call.realm.all("promotion_code"):
        if other["active"] and other["code"].lower() == text.lower():
            raise ApiError("An active promotion code with this code already exists.", param="code")
    restrictions = given.get("restrictions", {})
    code = {
        "id": new_id("promo_1"),
        "object": "promotion_code",
        "active": given.get("active", True),
        "code": text,
        "created": call.now,
        "customer": given.get("customer"),
        "expires_at": given.get("expires_at"),
        "livemode": call.livemode,
        "max_redemptions": given.get("max_redemptions"),
        "metadata": merged({}, given.get("metadata")),
        "promotion": {"coupon": coupon["id"], "type": "coupon"},
        "restrictions": {
            "first_time_transaction": restrictions.get("first_time_transaction", False),
            "minimum_amount": restrictions.get("minimum_amount"),
            "minimum_amount_currency": restrictions.get("minimum_amount_currency"),
        },
        "times_redeemed": 0,
    }
    call.realm.add(code)
    emit(call, "promotion_code.created", code)
    return code


@api("GET", CODES, params="PromotionCodeListParams", permission="promotion_code")
def show_codes(call: Call) -> Thing:
    filters = ("active", "code", "customer")
    return lists.page(call, call.realm.all("promotion_code"), url=CODES, filters=filters)


@api("GET", CODES + "/{id}", params="PromotionCodeRetrieveParams", permission="promotion_code")
def show_code(call: Call) -> Thing:
    return call.realm.find("promotion_code", call.ids["id"])


@api("POST", CODES + "/{id}", params="PromotionCodeUpdateParams", permission="promotion_code")
def update_code(call: Call) -> Thing:
    code = show_code(call)
    metadata = merged(code["metadata"], call.params.get("metadata"))
    active = call.params.get("active", code["active"])
    change(call, "promotion_code.updated", code, active=active, metadata=metadata)
    return code
