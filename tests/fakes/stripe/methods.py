"""Payment methods. Stripe's test cards are known by name and behave by it."""

from typing import Any, Final

from tests.fakes.stripe import lists
from tests.fakes.stripe.errors import ApiError, NotFoundError
from tests.fakes.stripe.events import change, emit
from tests.fakes.stripe.metadata import merged, nulls
from tests.fakes.stripe.routes import Call, Desk, api
from tests.fakes.stripe.world import Thing, new_id

PATH = "/v1/payment_methods"

CARDS: Final = {
    "visa": "succeed",
    "mastercard": "succeed",
    "amex": "succeed",
    "chargeDeclined": "decline",
    "visa_chargeDeclined": "decline",
    "chargeDeclinedInsufficientFunds": "insufficient_funds",
    "visa_chargeDeclinedInsufficientFunds": "insufficient_funds",
    "chargeDeclinedExpiredCard": "expired",
    "chargeCustomerFail": "attach_then_decline",
    "authenticationRequired": "requires_action",
    "authenticationRequiredOnSetup": "requires_action",
    "threeDSecure2Required": "requires_action",
    "createDispute": "dispute",
    "createDisputeInquiry": "inquiry",
    "createIssuerFraudRecord": "fraud_warning",
    "refundFail": "refund_fail",
    "pendingRefund": "refund_pending",
    "bypassPending": "available_now",
}
"""`pm_card_…` and `tok_…` → how payments with it go. Source: docs.stripe.com/testing."""

FAILING_IBANS: Final = frozenset({"IT60X0542811101000000123456", "DE62370400440532013001"})
"""Debits from these bounce. Source: docs.stripe.com/testing#sepa-direct-debit."""


def new(desk: Desk, behaviour: str = "succeed", kind: str = "card", **given: Any) -> Thing:
    """One way to pay, not kept with anybody yet."""
    details = _sepa() if kind == "sepa_debit" else _card()
    method = {
        "id": new_id("pm_1"),
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": billing_details(),
        "created": desk.now,
        "customer": None,
        "livemode": desk.livemode,
        "metadata": {},
        "type": kind,
        kind: details,
        "_behaviour": behaviour,
        **given,
    }
    return desk.realm.add(method)


def billing_details(email: str | None = None, name: str | None = None) -> Thing:
    address = nulls("city country line1 line2 postal_code state")
    return {"address": address, "email": email, "name": name, "phone": None, "tax_id": None}


def _card() -> Thing:
    return {
        "brand": "visa",
        "checks": {
            "address_line1_check": None,
            "address_postal_code_check": None,
            "cvc_check": "pass",
        },
        "country": "US",
        "display_brand": "visa",
        "exp_month": 12,
        "exp_year": 2034,
        "fingerprint": "StandInCard00001",
        "funding": "credit",
        "generated_from": None,
        "last4": "4242",
        "networks": {"available": ["visa"], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": True},
        "wallet": None,
    }


def _sepa() -> Thing:
    return {
        "bank_code": "37040044",
        "branch_code": "",
        "country": "DE",
        "fingerprint": "StandInBank00001",
        "generated_from": {"charge": None, "setup_attempt": None},
        "last4": "3000",
    }


def known(desk: Desk, given: str) -> Thing:
    """The method of that id, or a new one for the name of a test card.

    Raises: NotFoundError
    """
    name = given.removeprefix("pm_card_").removeprefix("tok_")
    if name != given and name in CARDS:
        return new(desk, CARDS[name])
    return desk.realm.find("payment_method", given, param="payment_method")


def attach(desk: Desk, given: str, customer: Thing) -> Thing:
    """Keep it with the customer.

    Raises: ApiError when it is another's.
    """
    method = known(desk, given)
    if method["customer"] not in (None, customer["id"]):
        raise ApiError("The payment method you provided has already been attached to a customer.")
    if method["customer"] is None:
        method["customer"] = customer["id"]
        emit(desk, "payment_method.attached", method)
    return method


@api("POST", PATH, params="PaymentMethodCreateParams", permission="payment_method")
def create(call: Call) -> Thing:
    given = call.params
    kind = given.get("type", "card")
    if kind not in ("card", "sepa_debit"):
        raise ApiError(f"This stand-in has no {kind}.", param="type")
    token = str(given.get("card", {}).get("token", "tok_visa")).removeprefix("tok_")
    if token not in CARDS:
        raise NotFoundError("token", f"tok_{token}", param="card[token]")
    bounces = given.get("sepa_debit", {}).get("iban") in FAILING_IBANS
    behaviour = "bounce" if bounces else CARDS[token]
    method = new(call, behaviour, kind, metadata=merged({}, given.get("metadata")))
    details = given.get("billing_details", {})
    method["billing_details"] |= {
        name: value for name, value in details.items() if name != "address"
    }
    method["billing_details"]["address"] |= details.get("address") or {}
    return method


@api("GET", PATH, params="PaymentMethodListParams", permission="payment_method")
def show_all(call: Call) -> Thing:
    return lists.page(
        call, call.realm.all("payment_method"), url=PATH, filters=("customer", "type")
    )


@api("GET", PATH + "/{id}", params="PaymentMethodRetrieveParams", permission="payment_method")
def show(call: Call) -> Thing:
    return call.realm.find("payment_method", call.ids["id"])


@api("POST", PATH + "/{id}", params="PaymentMethodUpdateParams", permission="payment_method")
def update(call: Call) -> Thing:
    method = show(call)
    metadata = merged(method["metadata"], call.params.get("metadata"))
    change(call, "payment_method.updated", method, metadata=metadata)
    return method


@api("POST", PATH + "/{id}/attach", params="PaymentMethodAttachParams", permission="payment_method")
def attach_to(call: Call) -> Thing:
    customer = call.realm.find("customer", call.params["customer"], param="customer")
    return attach(call, call.ids["id"], customer)


@api("POST", PATH + "/{id}/detach", params="PaymentMethodDetachParams", permission="payment_method")
def detach(call: Call) -> Thing:
    method = show(call)
    for customer in call.realm.where("customer", id=method["customer"]):
        if customer["invoice_settings"]["default_payment_method"] == method["id"]:
            customer["invoice_settings"]["default_payment_method"] = None
    previous = change(call, None, method, customer=None)
    emit(call, "payment_method.detached", method, previous)
    return method
