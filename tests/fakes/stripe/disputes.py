"""Disputes in their five moments, inquiries, and early fraud warnings."""

from typing import Any

from tests.fakes.stripe import balance, lists
from tests.fakes.stripe.errors import ApiError
from tests.fakes.stripe.events import change, emit
from tests.fakes.stripe.metadata import merged, nulls
from tests.fakes.stripe.routes import Call, Desk, api
from tests.fakes.stripe.world import Thing, new_id

PATH = "/v1/disputes"
ANSWER_S = 9 * 86_400
EVIDENCE = """access_activity_log billing_address cancellation_policy cancellation_policy_disclosure
cancellation_rebuttal customer_communication customer_email_address customer_name
customer_purchase_ip customer_signature duplicate_charge_documentation duplicate_charge_explanation
duplicate_charge_id product_description receipt refund_policy refund_policy_disclosure
refund_refusal_explanation service_date service_documentation shipping_address shipping_carrier
shipping_date shipping_documentation shipping_tracking_number uncategorized_file
uncategorized_text"""


def open_on(
    desk: Desk, charge: Thing, amount: int | None = None, *, is_inquiry: bool = False
) -> Thing:
    """First moment: somebody disputes; no money has moved yet.

    Raises: ApiError when it is disputed already.
    """
    if charge["disputed"]:
        raise ApiError(f"Charge {charge['id']} is disputed already.")
    kind = "inquiry" if is_inquiry else "chargeback"
    dispute = {
        "id": new_id("du_1"),
        "object": "dispute",
        "amount": charge["amount"] if amount is None else amount,
        "balance_transactions": [],
        "charge": charge["id"],
        "created": desk.now,
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {**nulls(EVIDENCE), "enhanced_evidence": {}},
        "evidence_details": {
            "due_by": desk.now + ANSWER_S,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
            "submission_method": "not_submitted",
        },
        "intended_submission_method": "manual",
        "is_charge_refundable": is_inquiry,
        "livemode": desk.livemode,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "payment_method_details": {
            "type": "card",
            "card": {
                "brand": "visa",
                "case_type": kind,
                "network": "visa",
                "network_reason_code": "10.4",
            },
        },
        "reason": "fraudulent",
        "status": "warning_needs_response" if is_inquiry else "needs_response",
    }
    desk.realm.add(dispute)
    charge |= {"disputed": True, "_refundable": is_inquiry}
    emit(desk, "charge.dispute.created", dispute)
    return dispute


def withdraw(desk: Desk, dispute: Thing) -> Thing:
    """The disputed money leaves the account."""
    return _move(desk, dispute, -dispute["amount"], "charge.dispute.funds_withdrawn")


def reinstate(desk: Desk, dispute: Thing) -> Thing:
    """And comes back."""
    return _move(desk, dispute, dispute["amount"], "charge.dispute.funds_reinstated")


def _move(desk: Desk, dispute: Thing, amount: int, kind: str) -> Thing:
    taken = -sum(movement["amount"] for movement in dispute["balance_transactions"])
    if taken - amount not in (0, dispute["amount"]):
        raise ApiError(f"The money of {dispute['id']} has moved that way already.")
    fee = balance.DISPUTE_FEE if amount < 0 else 0
    movement = balance.book(desk, "adjustment", amount, dispute, fee=fee)
    dispute["balance_transactions"] = [*dispute["balance_transactions"], movement]
    dispute["is_charge_refundable"] = False
    emit(desk, kind, dispute)
    return dispute


def respond(desk: Desk, dispute: Thing) -> Thing:
    """Evidence is in: it is looked at."""
    is_inquiry = dispute["status"].startswith("warning_")
    status = "warning_under_review" if is_inquiry else "under_review"
    details = {**dispute["evidence_details"], "has_evidence": True, "submission_count": 1}
    details["submission_method"] = "manual"
    change(desk, "charge.dispute.updated", dispute, status=status, evidence_details=details)
    return dispute


def close(desk: Desk, dispute: Thing, status: str) -> Thing:
    """Last moment: `won` (the money comes back if it left), `lost`, or `warning_closed`.

    Raises: ApiError when it is over already.
    """
    if dispute["status"] in ("won", "lost", "warning_closed"):
        raise ApiError(f"Dispute {dispute['id']} is {dispute['status']} already.")
    dispute["status"] = status
    charge = desk.realm.find("charge", dispute["charge"])
    charge["_refundable"] = status != "lost"
    if status == "won" and sum(each["amount"] for each in dispute["balance_transactions"]) < 0:
        reinstate(desk, dispute)
    emit(desk, "charge.dispute.closed", dispute)
    return dispute


def warn(desk: Desk, charge: Thing) -> Thing:
    """The bank suspects fraud; a dispute may follow."""
    warning = {
        "id": new_id("issfr_1"),
        "object": "radar.early_fraud_warning",
        "actionable": not charge["refunded"] and not charge["disputed"],
        "charge": charge["id"],
        "created": desk.now,
        "fraud_type": "made_with_stolen_card",
        "livemode": desk.livemode,
        "payment_intent": charge["payment_intent"],
    }
    desk.realm.add(warning)
    emit(desk, "radar.early_fraud_warning.created", warning)
    return warning


@api("GET", PATH, params="DisputeListParams", permission="dispute")
def show_all(call: Call) -> Thing:
    filters = ("charge", "payment_intent")
    return lists.page(call, call.realm.all("dispute"), url=PATH, filters=filters)


@api("GET", PATH + "/{id}", params="DisputeRetrieveParams", permission="dispute")
def show(call: Call) -> Thing:
    return call.realm.find("dispute", call.ids["id"])


@api("POST", PATH + "/{id}", params="DisputeUpdateParams", permission="dispute")
def update(call: Call) -> Thing:
    dispute, given = show(call), call.params
    evidence: dict[str, Any] = {**dispute["evidence"], **(given.get("evidence") or {})}
    metadata = merged(dispute["metadata"], given.get("metadata"))
    if given.get("submit", True) and given.get("evidence"):
        dispute |= {"evidence": evidence, "metadata": metadata}
        return respond(call, dispute)
    change(call, "charge.dispute.updated", dispute, evidence=evidence, metadata=metadata)
    return dispute


@api("POST", PATH + "/{id}/close", params="DisputeCloseParams", permission="dispute")
def give_up(call: Call) -> Thing:
    dispute = show(call)
    is_inquiry = dispute["status"].startswith("warning_")
    return close(call, dispute, "warning_closed" if is_inquiry else "lost")


@api(
    "GET",
    "/v1/radar/early_fraud_warnings",
    params="radar.EarlyFraudWarningListParams",
    permission="charge",
)
def show_warnings(call: Call) -> Thing:
    found = call.realm.all("radar.early_fraud_warning")
    url = "/v1/radar/early_fraud_warnings"
    return lists.page(call, found, url=url, filters=("charge", "payment_intent"))


@api(
    "GET",
    "/v1/radar/early_fraud_warnings/{id}",
    params="radar.EarlyFraudWarningRetrieveParams",
    permission="charge",
)
def show_warning(call: Call) -> Thing:
    return call.realm.find("radar.early_fraud_warning", call.ids["id"])
