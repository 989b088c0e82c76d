"""Checkout sessions, as the API makes and shows them. What payers do: `outcomes.py`."""

import re
from typing import Any, Final

from tests.fakes.stripe import amounts, customers, intents, lists, outcomes
from tests.fakes.stripe.errors import ApiError
from tests.fakes.stripe.expand import included
from tests.fakes.stripe.metadata import merged, nulls
from tests.fakes.stripe.routes import Call, Desk, api
from tests.fakes.stripe.world import Thing, new_id

PATH = "/v1/checkout/sessions"
SCOPE = "checkout_session"
EXPIRES_LEAST_S, EXPIRES_MOST_S = 30 * 60, 24 * 3600
URL = re.compile(r"https?://[^\s/]+(/\S*)?")

NULL: Final = """after_expiration allow_promotion_codes automatic_tax billing_address_collection
cancel_url client_reference_id client_secret collected_information consent consent_collection
currency currency_conversion customer_creation customer_details customer_email
discounts invoice invoice_creation locale origin_context payment_intent payment_link
payment_method_collection payment_method_configuration_details permissions recovered_from
setup_intent shipping_address_collection shipping_cost submit_type
subscription customer"""
SHOWN: Final = (
    *("allow_promotion_codes", "billing_address_collection", "cancel_url", "client_reference_id"),
    *("customer_email", "locale", "submit_type", "success_url", "payment_method_collection"),
    *(
        "allowed_payment_method_types",
        "customer_creation",
        "origin_context",
        "integration_identifier",
    ),
)
"""Parameters that the session shows as they came."""
USED: Final = (
    *("automatic_tax", "currency", "customer", "discounts", "expires_at", "invoice_creation"),
    *("line_items", "metadata", "mode", "payment_intent_data", "setup_intent_data", "ui_mode"),
    *("subscription_data", "adaptive_pricing", "custom_text", "customer_update", "expand"),
    *("tax_id_collection", "phone_number_collection", "saved_payment_method_options"),
)
SERVED: Final = {
    "payment_intent_data": outcomes.INTENT | {"metadata"},
    "subscription_data": {"metadata", "description", "trial_period_days"},
    "setup_intent_data": {"metadata", "description"},
}
"""What of these is served."""
ONLY_IN: Final = {
    "payment_intent_data": ("payment",),
    "invoice_creation": ("payment",),
    "subscription_data": ("subscription",),
    "setup_intent_data": ("setup",),
    "customer_creation": ("payment", "setup"),
    "submit_type": ("payment",),
    "discounts": ("payment", "subscription"),
}


@api("POST", PATH, params="checkout.SessionCreateParams", permission=SCOPE)
def create(call: Call) -> Thing:
    given = call.params
    mode = given.get("mode", "payment")
    check(given, mode)
    expires_at = given.get("expires_at", call.now + EXPIRES_MOST_S)
    check_expiry(expires_at - call.now)
    if "customer" in given:
        customers.present(call, given["customer"])
    items = amounts.line_items(call, given.get("line_items", []))
    check_prices(items, mode)
    session = build(call, mode, expires_at, items)
    outcomes.price(call, session)
    if mode == "payment" and session["amount_total"]:
        intents.check_amount(session["amount_total"], session["currency"])
    return call.realm.add(session)


TOGETHER: Final = (
    ("customer", "customer_email"),
    ("customer", "customer_creation"),
    ("allow_promotion_codes", "discounts"),
)
"""Pairs of which a session may have one alone."""


def check(given: dict[str, Any], mode: str) -> None:
    """Raises: ApiError for parameters that do not go together, or are not served here."""
    for name, value in given.items():
        if name not in SHOWN and name not in USED:
            raise ApiError(f"This stand-in does not serve the parameter {name}.", param=name)
        if mode not in ONLY_IN.get(name, (mode,)):
            raise ApiError(f"You can not pass `{name}` in `{mode}` mode.", param=name)
        for inner in value if name in SERVED else ():
            if inner not in SERVED[name]:
                raise ApiError(f"This stand-in does not serve {name}[{inner}].", param=name)
    for one, other in TOGETHER:
        if given.get(one) and given.get(other):
            raise ApiError(f"You may only specify one of these parameters: {one}, {other}.")
    check_urls(given)
    check_counts(given, mode)


def check_counts(given: dict[str, Any], mode: str) -> None:
    """Raises: ApiError"""
    if given.get("ui_mode", "hosted_page") != "hosted_page":
        raise ApiError("This stand-in has hosted pages alone.", param="ui_mode")
    if len(given.get("discounts", [])) > 1:
        raise ApiError("Only one discount can be applied to a Checkout Session.")
    if mode != "setup" and not given.get("line_items"):
        raise ApiError("Missing required param: line_items.", code="parameter_missing")


def check_urls(given: dict[str, Any]) -> None:
    """Raises: ApiError"""
    if "success_url" not in given:
        raise ApiError(
            "Missing required param: success_url.", code="parameter_missing", param="success_url"
        )
    for name in ("success_url", "cancel_url"):
        if name in given and not URL.fullmatch(given[name]):
            raise ApiError("Not a valid URL", code="url_invalid", param=name)


def check_expiry(seconds: int) -> None:
    """Raises: ApiError"""
    if seconds < EXPIRES_LEAST_S:
        raise ApiError(
            "The `expires_at` timestamp must be at least 30 minutes from Checkout Session"
            " creation.",
            param="expires_at",
        )
    if seconds > EXPIRES_MOST_S:
        raise ApiError(
            "The `expires_at` timestamp must be less than 24 hours from Checkout Session creation.",
            param="expires_at",
        )


def check_prices(items: list[Thing], mode: str) -> None:
    """Raises: ApiError when recurring prices and the mode do not fit."""
    recurring = [item for item in items if item["price"]["recurring"]]
    if mode == "payment" and recurring:
        raise ApiError(
            "You specified `payment` mode but passed a recurring price. Either switch to"
            " `subscription` mode or use only one-time prices.",
            param="line_items",
        )
    if mode == "subscription" and not recurring:
        raise ApiError(
            "You must provide at least one recurring price in `subscription` mode when using"
            " prices.",
            param="line_items",
        )


def build(call: Call, mode: str, expires_at: int, items: list[Thing]) -> Thing:
    """The session with everything but its amounts."""
    given = call.params
    session_id = new_id(f"cs_{'live' if call.livemode else 'test'}_a1", 56)
    has_tax = given.get("automatic_tax", {}).get("enabled", False)
    return {
        "id": session_id,
        "object": "checkout.session",
        **nulls(NULL),
        "adaptive_pricing": given.get("adaptive_pricing", {"enabled": False}),
        "automatic_tax": {
            "enabled": has_tax,
            "liability": {"type": "self"} if has_tax else None,
            "provider": "stripe" if has_tax else None,
            "status": "complete" if has_tax else None,
        },
        "created": call.now,
        "custom_fields": [],
        "custom_text": {
            **nulls("after_submit shipping_address submit terms_of_service_acceptance"),
            **given.get("custom_text", {}),
        },
        "currency": items[0]["currency"] if items else given.get("currency"),
        "customer": given.get("customer"),
        "customer_creation": "if_required"
        if mode == "payment" and "customer" not in given
        else None,
        "discounts": _discounts(given),
        "expires_at": expires_at,
        "invoice_creation": _invoice_creation(given) if mode == "payment" else None,
        "livemode": call.livemode,
        "metadata": merged({}, given.get("metadata")),
        "mode": mode,
        "payment_method_collection": "always" if mode == "subscription" else "if_required",
        "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
        "payment_method_types": ["card"],
        "payment_status": "no_payment_required" if mode == "setup" else "unpaid",
        "phone_number_collection": given.get("phone_number_collection", {"enabled": False}),
        "saved_payment_method_options": _saved_options(given),
        "shipping_options": [],
        "status": "open",
        "success_url": given["success_url"],
        "tax_id_collection": {
            "required": "never",
            **given.get("tax_id_collection", {"enabled": False}),
        },
        "ui_mode": "hosted_page",
        "url": f"{call.world.base_url}/c/pay/{session_id}",
        "wallet_options": None,
        **{name: given[name] for name in SHOWN if name in given},
        "_items": items,
        "_data": {
            name: given.get(name, {})
            for name in ("payment_intent_data", "subscription_data", "setup_intent_data")
        },
    }


def _saved_options(given: dict[str, Any]) -> Thing | None:
    wanted = given.get("saved_payment_method_options")
    names = "allow_redisplay_filters payment_method_remove payment_method_save"
    return wanted and {**nulls(names), **wanted}


def _discounts(given: dict[str, Any]) -> list[Thing] | None:
    entries = given.get("discounts") or None
    return entries and [
        {"coupon": entry.get("coupon"), "promotion_code": entry.get("promotion_code")}
        for entry in entries
    ]


def _invoice_creation(given: dict[str, Any]) -> Thing:
    wanted = given.get("invoice_creation", {"enabled": False})
    data = wanted.get("invoice_data", {})
    return {
        "enabled": wanted["enabled"],
        "invoice_data": {
            **nulls("account_tax_ids custom_fields description footer issuer rendering_options"),
            "metadata": {},
            **data,
        },
    }


@included("checkout.session", "line_items")
def items_of(desk: Desk, session: Thing) -> Thing:
    return lists.whole(session["_items"], f"{PATH}/{session['id']}/line_items")


@api("GET", PATH, params="checkout.SessionListParams", permission=SCOPE)
def show_all(call: Call) -> Thing:
    found = list(call.realm.all("checkout.session"))
    if details := call.params.get("customer_details"):
        email = details["email"]
        found = [each for each in found if (each["customer_details"] or {}).get("email") == email]
    filters = ("customer", "payment_intent", "subscription", "status")
    return lists.page(call, found, url=PATH, filters=filters)


@api("GET", PATH + "/{id}", params="checkout.SessionRetrieveParams", permission=SCOPE)
def show(call: Call) -> Thing:
    return call.realm.find("checkout.session", call.ids["id"], param="session")


@api("POST", PATH + "/{id}", params="checkout.SessionUpdateParams", permission=SCOPE)
def update(call: Call) -> Thing:
    session = show(call)
    session["metadata"] = merged(session["metadata"], call.params.get("metadata"))
    return session


@api("POST", PATH + "/{id}/expire", params="checkout.SessionExpireParams", permission=SCOPE)
def expire(call: Call) -> Thing:
    session = show(call)
    if session["status"] != "open":
        raise ApiError(
            'Only Checkout Sessions with a status in ["open"] can be expired. This Checkout'
            f" Session has a status of `{session['status']}`."
        )
    outcomes.expire(call, session)
    return session


@api(
    "GET",
    PATH + "/{id}/line_items",
    params="checkout.SessionListLineItemsParams",
    permission=SCOPE,
)
def show_items(call: Call) -> Thing:
    session = show(call)
    return lists.window(call, session["_items"], url=f"{PATH}/{session['id']}/line_items")
