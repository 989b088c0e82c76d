"""Charges: one try to take money with one payment method."""

from typing import Any

from tests.fakes.stripe import balance, lists
from tests.fakes.stripe.events import change, emit
from tests.fakes.stripe.expand import included
from tests.fakes.stripe.metadata import merged, nulls
from tests.fakes.stripe.routes import Call, Desk, api
from tests.fakes.stripe.world import Thing, new_id

PATH = "/v1/charges"


def new(desk: Desk, intent: Thing, method: Thing, status: str, **given: Any) -> Thing:
    """A charge for the whole of `intent`; `status` is succeeded, pending or failed."""
    succeeded = status == "succeeded"
    charge = {
        "id": new_id("ch_3" if method["type"] == "card" else "py_3"),
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": intent["amount"] if status != "failed" else 0,
        "amount_refunded": 0,
        **nulls("application application_fee application_fee_amount balance_transaction"),
        "billing_details": method["billing_details"],
        "calculated_statement_descriptor": "STAND-IN",
        "captured": status != "failed",
        "created": desk.now,
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        **nulls("failure_balance_transaction failure_code failure_message"),
        "fraud_details": {},
        "livemode": desk.livemode,
        "metadata": dict(intent["metadata"]),
        "on_behalf_of": None,
        "outcome": _outcome(status),
        "paid": succeeded,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": _details(method, intent["amount"]),
        **nulls("radar_options receipt_email receipt_number receipt_url"),
        "refunded": False,
        **nulls("review shipping source source_transfer statement_descriptor"),
        **nulls("statement_descriptor_suffix transfer_data"),
        "status": status,
        "transfer_group": intent["transfer_group"],
        **given,
        "_behaviour": method["_behaviour"],
    }
    desk.realm.add(charge)
    if succeeded:
        settle(desk, charge)
    return charge


def settle(desk: Desk, charge: Thing) -> None:
    """The money arrives in the account."""
    amount = charge["amount"]
    kind = "charge" if charge["id"].startswith("ch_") else "payment"
    movement = balance.book(desk, kind, amount, charge, fee=balance.fee_of(amount))
    if charge.get("_behaviour") == "available_now":
        movement |= {"available_on": desk.now, "status": "available"}
    charge |= {
        "paid": True,
        "status": "succeeded",
        "balance_transaction": movement["id"],
        "receipt_url": f"{desk.world.base_url}/receipts/{charge['id']}",
    }


def _outcome(status: str) -> Thing:
    texts = {
        "succeeded": ("approved_by_network", "Payment complete.", "authorized"),
        "pending": ("approved_by_network", "Payment is on its way.", "authorized"),
        "failed": ("declined_by_network", "The bank declined the payment.", "issuer_declined"),
    }
    network, message, kind = texts[status]
    return {
        **nulls("advice_code network_advice_code network_decline_code"),
        "network_status": network,
        "reason": "generic_decline" if status == "failed" else None,
        "risk_level": "normal",
        "risk_score": 12,
        "seller_message": message,
        "type": kind,
    }


def _details(method: Thing, amount: int) -> Thing:
    if method["type"] == "sepa_debit":
        bank = {**method["sepa_debit"], "expected_debit_date": None, "mandate": None}
        bank.pop("generated_from")
        return {"type": "sepa_debit", "sepa_debit": bank}
    card = {
        name: method["card"][name]
        for name in (
            *("brand", "checks", "country", "exp_month", "exp_year", "fingerprint"),
            *("funding", "last4", "regulated_status", "wallet"),
        )
    }
    card |= {
        **nulls("authorization_code installments mandate network_token three_d_secure"),
        "amount_authorized": amount,
        "extended_authorization": {"status": "disabled"},
        "incremental_authorization": {"status": "unavailable"},
        "multicapture": {"status": "unavailable"},
        "network": "visa",
        "network_transaction_id": "100000000000001",
        "overcapture": {"maximum_amount_capturable": amount, "status": "unavailable"},
    }
    return {"type": "card", "card": card}


@included("charge", "refunds")
def refunds_of(desk: Desk, charge: Thing) -> Thing:
    found = desk.realm.where("refund", charge=charge["id"])
    return lists.whole(found[::-1], f"/v1/charges/{charge['id']}/refunds")


@api("GET", PATH, params="ChargeListParams", permission="charge")
def show_all(call: Call) -> Thing:
    filters = ("customer", "payment_intent", "transfer_group")
    return lists.page(call, call.realm.all("charge"), url=PATH, filters=filters)


@api("GET", PATH + "/{id}", params="ChargeRetrieveParams", permission="charge")
def show(call: Call) -> Thing:
    return call.realm.find("charge", call.ids["id"])


@api("POST", PATH + "/{id}", params="ChargeUpdateParams", permission="charge")
def update(call: Call) -> Thing:
    charge = show(call)
    metadata = merged(charge["metadata"], call.params.get("metadata"))
    change(call, "charge.updated", charge, metadata=metadata)
    return charge


def announce(desk: Desk, charge: Thing) -> None:
    names = {
        "succeeded": "charge.succeeded",
        "pending": "charge.pending",
        "failed": "charge.failed",
    }
    emit(desk, names[charge["status"]], charge)
