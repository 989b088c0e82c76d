"""Payment intents: from a wish to pay to money, a decline, or a question to the customer."""

from typing import Any, Final

from tests.fakes.stripe import after, charges, lists, methods
from tests.fakes.stripe.errors import ApiError, CardError
from tests.fakes.stripe.events import change, emit
from tests.fakes.stripe.expand import public
from tests.fakes.stripe.metadata import merged, nulls
from tests.fakes.stripe.routes import Call, Desk, api
from tests.fakes.stripe.world import Thing, new_id

PATH = "/v1/payment_intents"

LEAST: Final = {
    "usd": 50,
    "eur": 50,
    "gbp": 30,
    "chf": 50,
    "cad": 50,
    "aud": 50,
    "jpy": 50,
    "krw": 100,
    "inr": 50,
    "mxn": 1000,
    "sek": 300,
    "nok": 300,
    "dkk": 250,
    "pln": 200,
    "huf": 17_500,
}
"""Minor units. Source: docs.stripe.com/currencies#minimum-and-maximum-charge-amounts."""
LEAST_ELSE: Final = 1

DECLINES: Final = {
    "decline": ("card_declined", "generic_decline", "Your card was declined."),
    "attach_then_decline": ("card_declined", "generic_decline", "Your card was declined."),
    "insufficient_funds": (
        "card_declined",
        "insufficient_funds",
        "Your card has insufficient funds.",
    ),
    "expired": ("expired_card", "expired_card", "Your card has expired."),
}

DEBIT_S: Final = 3 * 86_400
"""After so long a bank debit arrives or bounces by itself."""

NEEDS_METHOD, CONFIRM, ACTION = (
    "requires_payment_method",
    "requires_confirmation",
    "requires_action",
)


def check_amount(amount: int, currency: str) -> None:
    """Raises: ApiError for less than Stripe takes."""
    least = LEAST.get(currency, LEAST_ELSE)
    if amount < least:
        raise ApiError(
            f"Amount must be at least {least} {currency} in minor units.",
            code="amount_too_small",
            param="amount",
        )


def new(desk: Desk, amount: int, currency: str, **given: Any) -> Thing:
    """An intent that wants a payment method."""
    check_amount(amount, currency)
    intent_id = new_id("pi_3")
    intent = {
        "id": intent_id,
        "object": "payment_intent",
        "amount": amount,
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        **nulls("application application_fee_amount automatic_payment_methods canceled_at"),
        "cancellation_reason": None,
        "capture_method": "automatic_async",
        "client_secret": f"{intent_id}_secret_{new_id('')}",
        "confirmation_method": "automatic",
        "created": desk.now,
        "currency": currency,
        **nulls("customer description last_payment_error latest_charge next_action on_behalf_of"),
        "livemode": desk.livemode,
        "metadata": {},
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_options": {"card": {**CARD_OPTIONS}},
        "payment_method_types": ["card"],
        **nulls("processing receipt_email review setup_future_usage shipping source"),
        **nulls("statement_descriptor statement_descriptor_suffix transfer_data transfer_group"),
        "status": NEEDS_METHOD,
        **given,
    }
    desk.realm.add(intent)
    emit(desk, "payment_intent.created", intent)
    return intent


CARD_OPTIONS: Final = {
    "installments": None,
    "mandate_options": None,
    "network": None,
    "request_three_d_secure": "automatic",
}


def pay(desk: Desk, intent: Thing, method: Thing, *, is_present: bool) -> Thing:
    """Try the method, which decides what comes of it. Returns the intent.

    is_present: somebody is there to answer the bank's question.
    """
    intent |= {"payment_method": method["id"], "last_payment_error": None, "next_action": None}
    behaviour = method["_behaviour"]
    if behaviour in DECLINES:
        decline(desk, intent, method, *DECLINES[behaviour])
    elif behaviour == "requires_action" and not is_present:
        ask(desk, intent, method)
    elif method["type"] == "sepa_debit":
        charge = charges.new(desk, intent, method, "pending")
        intent |= {"status": "processing", "latest_charge": charge["id"]}
        intent |= {"_settles_at": desk.now + DEBIT_S, "_bounces": behaviour == "bounce"}
        charges.announce(desk, charge)
        emit(desk, "payment_intent.processing", intent)
    else:
        succeed(desk, intent, method)
    return intent


def succeed(desk: Desk, intent: Thing, method: Thing) -> None:
    charge = charges.new(desk, intent, method, "succeeded")
    if intent["setup_future_usage"] and intent["customer"]:
        customer = desk.realm.find("customer", intent["customer"])
        methods.attach(desk, method["id"], customer)
    intent |= {
        "status": "succeeded",
        "amount_received": intent["amount"],
        "latest_charge": charge["id"],
        "next_action": None,
    }
    charges.announce(desk, charge)
    emit(desk, "payment_intent.succeeded", intent)
    after.paid(desk, charge, method["_behaviour"])


def decline(
    desk: Desk, intent: Thing, method: Thing, code: str, decline_code: str, message: str
) -> None:
    """The bank says no: a failed charge, and the intent wants another method."""
    failed = {"failure_code": code, "failure_message": message}
    charge = charges.new(desk, intent, method, "failed", **failed)
    intent |= {
        "status": NEEDS_METHOD,
        "latest_charge": charge["id"],
        "payment_method": None,
        "last_payment_error": {
            "advice_code": "try_again_later",
            "charge": charge["id"],
            "code": code,
            "decline_code": decline_code,
            "doc_url": f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}",
            "message": message,
            "payment_method": public(method),
            "type": "card_error",
        },
    }
    charges.announce(desk, charge)
    emit(desk, "payment_intent.payment_failed", intent)


def ask(desk: Desk, intent: Thing, method: Thing) -> None:
    """The bank wants to ask the customer, who goes to `next_action`'s page."""
    page = f"{desk.world.base_url}/c/authenticate/{intent['id']}"
    intent |= {
        "status": ACTION,
        "next_action": {
            "type": "redirect_to_url",
            "redirect_to_url": {"url": page, "return_url": intent.get("_return_url")},
        },
    }
    emit(desk, "payment_intent.requires_action", intent)


def answer(desk: Desk, intent: Thing, *, approves: bool) -> None:
    """The customer answers the bank's question.

    Raises: ApiError when none is open.
    """
    if intent["status"] != ACTION:
        raise ApiError(f"{intent['id']} is {intent['status']}: its bank asks nothing.")
    method = desk.realm.find("payment_method", intent["payment_method"])
    if intent["object"] == "setup_intent":
        status = "succeeded" if approves else NEEDS_METHOD
        intent |= {"status": status, "next_action": None}
        emit(desk, f"setup_intent.{'succeeded' if approves else 'setup_failed'}", intent)
    elif approves:
        succeed(desk, intent, method)
    else:
        intent["next_action"] = None
        failed = "payment_intent_authentication_failure"
        decline(desk, intent, method, failed, "authentication_required", "Not authenticated.")


def finish(desk: Desk, intent: Thing, *, succeeds: bool) -> None:
    """A pending payment arrives or bounces.

    Raises: ApiError when none is pending.
    """
    if intent["status"] != "processing":
        raise ApiError(f"This PaymentIntent is {intent['status']}, not processing.")
    charge = desk.realm.find("charge", intent["latest_charge"])
    method = desk.realm.find("payment_method", intent["payment_method"])
    if succeeds:
        charges.settle(desk, charge)
        intent |= {"status": "succeeded", "amount_received": intent["amount"]}
        charges.announce(desk, charge)
        emit(desk, "payment_intent.succeeded", intent)
        return
    message = "The customer's account has insufficient funds to cover this payment."
    charge |= {"status": "failed", "failure_code": "insufficient_funds", "failure_message": message}
    intent |= {
        "status": NEEDS_METHOD,
        "payment_method": None,
        "last_payment_error": {
            "charge": charge["id"],
            "code": "payment_intent_payment_attempt_failed",
            "decline_code": "insufficient_funds",
            "message": message,
            "payment_method": public(method),
            "type": "card_error",
        },
    }
    charges.announce(desk, charge)
    emit(desk, "payment_intent.payment_failed", intent)


@api("POST", PATH, params="PaymentIntentCreateParams", permission="payment_intent")
def create(call: Call) -> Thing:
    given = call.params
    customer = given.get("customer")
    if customer:
        call.realm.find("customer", customer, param="customer")
    if given.get("off_session") and not given.get("confirm"):
        raise ApiError("You cannot set `off_session` without `confirm=true`.", param="off_session")
    names = ("description", "receipt_email", "setup_future_usage", "transfer_group", "shipping")
    more = {name: given[name] for name in names if name in given}
    if automatic := given.get("automatic_payment_methods"):
        more["automatic_payment_methods"] = {"allow_redirects": "always", **automatic}
    more["payment_method_types"] = given.get("payment_method_types", ["card"])
    method = usable(call, given["payment_method"], customer) if "payment_method" in given else None
    intent = new(
        call,
        given["amount"],
        given["currency"].lower(),
        customer=customer,
        metadata=merged({}, given.get("metadata")),
        **more,
    )
    intent["_return_url"] = given.get("return_url")
    if method:
        intent |= {"payment_method": method["id"], "status": CONFIRM}
    return confirm_with(call, intent) if given.get("confirm") else intent


def usable(call: Call, given: str, customer: str | None) -> Thing:
    """Raises: ApiError for a method that is another customer's."""
    method = methods.known(call, given)
    if method["customer"] not in (None, customer):
        raise ApiError(
            "The PaymentMethod you provided belongs to another customer than the PaymentIntent.",
            param="payment_method",
        )
    return method


def confirm_with(call: Call, intent: Thing) -> Thing:
    """Raises: CardError, with the intent in it, when no money comes of it and nobody is there."""
    method = intent["payment_method"]
    if method is None:
        raise ApiError(
            "You cannot confirm this PaymentIntent because it's missing a payment method.",
            code="payment_intent_unexpected_state",
        )
    method = call.realm.find("payment_method", method)
    pay(call, intent, method, is_present=False)
    if error := intent["last_payment_error"]:
        told = {name: error[name] for name in ("charge", "decline_code", "payment_method")}
        raise CardError(error["message"], code=error["code"], payment_intent=public(intent), **told)
    if intent["status"] == ACTION and call.params.get("off_session"):
        refused = {"status": NEEDS_METHOD, "next_action": None, "payment_method": None}
        message = "Your card was declined. This transaction requires authentication."
        decline_code = "authentication_required"
        change(call, None, intent, **refused)
        decline(call, intent, method, "authentication_required", decline_code, message)
        raise CardError(
            message,
            code="authentication_required",
            decline_code=decline_code,
            payment_intent=public(intent),
            payment_method=public(method),
        )
    return intent


@api(
    "POST", PATH + "/{id}/confirm", params="PaymentIntentConfirmParams", permission="payment_intent"
)
def confirm(call: Call) -> Thing:
    intent = show(call)
    if intent["status"] not in (NEEDS_METHOD, CONFIRM, ACTION):
        raise unexpected(intent, "confirm")
    if "payment_method" in call.params:
        method = usable(call, call.params["payment_method"], intent["customer"])
        intent["payment_method"] = method["id"]
    intent["_return_url"] = call.params.get("return_url", intent.get("_return_url"))
    return confirm_with(call, intent)


@api("POST", PATH + "/{id}/cancel", params="PaymentIntentCancelParams", permission="payment_intent")
def cancel(call: Call) -> Thing:
    intent = show(call)
    if intent["status"] not in (NEEDS_METHOD, CONFIRM, ACTION):
        raise unexpected(intent, "cancel")
    reason = call.params.get("cancellation_reason")
    intent |= {"status": "canceled", "canceled_at": call.now, "cancellation_reason": reason}
    emit(call, "payment_intent.canceled", intent)
    return intent


def unexpected(intent: Thing, verb: str) -> ApiError:
    return ApiError(
        f"You cannot {verb} this PaymentIntent because it has a status of {intent['status']}.",
        code="payment_intent_unexpected_state",
    )


@api("GET", PATH, params="PaymentIntentListParams", permission="payment_intent")
def show_all(call: Call) -> Thing:
    return lists.page(call, call.realm.all("payment_intent"), url=PATH, filters=("customer",))


@api("GET", PATH + "/{id}", params="PaymentIntentRetrieveParams", permission="payment_intent")
def show(call: Call) -> Thing:
    return call.realm.find("payment_intent", call.ids["id"], param="intent")


@api("POST", PATH + "/{id}", params="PaymentIntentUpdateParams", permission="payment_intent")
def update(call: Call) -> Thing:
    intent = show(call)
    intent["metadata"] = merged(intent["metadata"], call.params.get("metadata"))
    intent["description"] = call.params.get("description", intent["description"])
    return intent
