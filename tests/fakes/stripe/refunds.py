"""Refunds: at once or pending, whole or in parts, and failed afterwards."""

from typing import Any

from tests.fakes.stripe import balance, lists
from tests.fakes.stripe.errors import ApiError
from tests.fakes.stripe.events import change, emit
from tests.fakes.stripe.metadata import merged, nulls
from tests.fakes.stripe.routes import Call, Desk, api
from tests.fakes.stripe.world import Thing, new_id

PATH = "/v1/refunds"


def refund(
    desk: Desk, charge: Thing, amount: int | None = None, *, pending: bool = False, **given: Any
) -> Thing:
    """Give back `amount` minor units, else what is left.

    Raises: ApiError when that is more than is left, or money cannot be given back at all.
    """
    left = charge["amount_captured"] - charge["amount_refunded"]
    amount = left if amount is None else amount
    check(charge, amount, left)
    made = {
        "id": new_id("re_3"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": charge["id"],
        "created": desk.now,
        "currency": charge["currency"],
        "destination_details": {"type": "card", "card": {"type": "refund"}},
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        **nulls("reason receipt_number source_transfer_reversal transfer_reversal"),
        "status": "pending" if pending else "succeeded",
        **given,
    }
    if pending:
        made["pending_reason"] = "processing"
    desk.realm.add(made)
    made["balance_transaction"] = balance.book(desk, "refund", -amount, made)["id"]
    emit(desk, "refund.created", made)
    set_refunded(desk, charge, charge["amount_refunded"] + amount)
    emit(desk, "charge.refunded", charge)
    return made


def check(charge: Thing, amount: int, left: int) -> None:
    if charge["status"] != "succeeded":
        raise ApiError(f"Charge {charge['id']} is {charge['status']} and cannot be refunded.")
    if charge["disputed"] and not charge.get("_refundable", False):
        raise ApiError(
            f"Charge {charge['id']} has been charged back; cannot issue a refund.",
            code="charge_disputed",
        )
    if left <= 0:
        raise ApiError(
            f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded"
        )
    if not 0 < amount <= left:
        raise ApiError(
            f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left}).",
            param="amount",
        )


def set_refunded(desk: Desk, charge: Thing, amount: int) -> None:
    charge |= {"amount_refunded": amount, "refunded": amount == charge["amount_captured"]}


def settle(desk: Desk, made: Thing) -> None:
    """A pending refund goes through."""
    previous = change(desk, None, made, status="succeeded")
    made.pop("pending_reason", None)
    tell(desk, made, previous)


def fail(desk: Desk, made: Thing, reason: str = "expired_or_canceled_card") -> None:
    """It comes back, days later as a rule: the charge is less refunded again.

    Raises: ApiError when it is over already.
    """
    if made["status"] in ("failed", "canceled"):
        raise ApiError(f"Refund {made['id']} is {made['status']} already.")
    made.pop("pending_reason", None)
    movement = balance.book(desk, "refund_failure", made["amount"], made)
    previous = change(
        desk,
        None,
        made,
        status="failed",
        failure_reason=reason,
        failure_balance_transaction=movement["id"],
    )
    charge = desk.realm.find("charge", made["charge"])
    set_refunded(desk, charge, charge["amount_refunded"] - made["amount"])
    tell(desk, made, previous)
    emit(desk, "refund.failed", made)


def tell(desk: Desk, made: Thing, previous: dict[str, Any]) -> None:
    emit(desk, "refund.updated", made, previous)
    emit(desk, "charge.refund.updated", made, previous)


@api("POST", PATH, params="RefundCreateParams", permission="charge")
def create(call: Call) -> Thing:
    given = call.params
    charge = charge_of(call, given)
    behaviour = charge.get("_behaviour")
    more = {name: given[name] for name in ("reason",) if name in given}
    made = refund(
        call,
        charge,
        given.get("amount"),
        pending=behaviour == "refund_pending",
        metadata=merged({}, given.get("metadata")),
        **more,
    )
    if behaviour == "refund_fail":
        fail(call, made)
    return made


def charge_of(call: Call, given: dict[str, Any]) -> Thing:
    """Raises: ApiError"""
    if "charge" in given:
        return call.realm.find("charge", given["charge"], param="charge")
    if "payment_intent" not in given:
        raise ApiError(
            "One of the following params should be provided for this request: payment_intent or"
            " charge."
        )
    intent = call.realm.find("payment_intent", given["payment_intent"], param="payment_intent")
    if not intent["latest_charge"]:
        raise ApiError(f"PaymentIntent {intent['id']} has no successful charge to refund.")
    return call.realm.find("charge", intent["latest_charge"])


@api("GET", PATH, params="RefundListParams", permission="charge")
def show_all(call: Call) -> Thing:
    filters = ("charge", "payment_intent")
    return lists.page(call, call.realm.all("refund"), url=PATH, filters=filters)


@api("GET", PATH + "/{id}", params="RefundRetrieveParams", permission="charge")
def show(call: Call) -> Thing:
    return call.realm.find("refund", call.ids["id"])


@api("POST", PATH + "/{id}", params="RefundUpdateParams", permission="charge")
def update(call: Call) -> Thing:
    made = show(call)
    metadata = merged(made["metadata"], call.params.get("metadata"))
    previous = change(call, None, made, metadata=metadata)
    if previous:
        tell(call, made, previous)
    return made


@api("POST", PATH + "/{id}/cancel", params="RefundCancelParams", permission="charge")
def cancel(call: Call) -> Thing:
    """Only a pending one of some payment methods; a card's never is."""
    raise ApiError(f"Refund {show(call)['id']} cannot be canceled.")
