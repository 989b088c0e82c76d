"""Money to connected accounts and on to banks: transfers, reversals, payouts."""

from typing import Final

from tests.fakes.stripe import balance, lists
from tests.fakes.stripe.errors import ApiError
from tests.fakes.stripe.events import change, emit
from tests.fakes.stripe.metadata import merged, nulls
from tests.fakes.stripe.routes import Call, Desk, api
from tests.fakes.stripe.world import Thing, new_id

TRANSFERS, PAYOUTS = "/v1/transfers", "/v1/payouts"
ARRIVES_S: Final = 2 * 86_400


def check_funds(desk: Desk, amount: int, currency: str) -> None:
    """Raises: ApiError for less than is available."""
    if amount < 1:
        raise ApiError("Invalid positive integer", param="amount")
    if amount > balance.available(desk, currency):
        raise ApiError(
            "You have insufficient available funds in your Stripe account.",
            code="balance_insufficient",
        )


def book_now(desk: Desk, kind: str, amount: int, source: Thing) -> Thing:
    """A movement that is available at once."""
    movement = balance.book(desk, kind, amount, source)
    movement |= {"available_on": desk.now, "status": "available"}
    return movement


def connected(call: Call, account_id: str) -> Desk:
    """The desk of an account of this platform. Raises: ApiError before it may take transfers."""
    account = call.realm.find("account", account_id, param="destination")
    if account["capabilities"].get("transfers") != "active":
        raise ApiError(
            "Your destination account needs to have the `transfers` capability enabled.",
            code="insufficient_capabilities_for_transfer",
        )
    realm = call.world.realm(account_id, livemode=call.livemode)
    return Desk(call.world, realm, call.request_id, call.idempotency_key)


@api("POST", TRANSFERS, params="TransferCreateParams", permission="transfer")
def create(call: Call) -> Thing:
    given = call.params
    if "amount" not in given:
        raise ApiError("Missing required param: amount.", code="parameter_missing", param="amount")
    there = connected(call, given["destination"])
    amount, currency = given["amount"], given["currency"].lower()
    check_funds(call, amount, currency)
    transfer_id = new_id("tr_1")
    transfer = {
        "id": transfer_id,
        "object": "transfer",
        "amount": amount,
        "amount_reversed": 0,
        "created": call.now,
        "currency": currency,
        "description": given.get("description"),
        "destination": given["destination"],
        "destination_payment": new_id("py_1"),
        "livemode": call.livemode,
        "metadata": merged({}, given.get("metadata")),
        "reversals": lists.whole([], f"{TRANSFERS}/{transfer_id}/reversals"),
        "reversed": False,
        "source_transaction": given.get("source_transaction"),
        "source_type": "card",
        "transfer_group": given.get("transfer_group"),
    }
    transfer["balance_transaction"] = book_now(call, "transfer", -amount, transfer)["id"]
    book_now(there, "payment", amount, transfer)
    call.realm.add(transfer)
    emit(call, "transfer.created", transfer)
    return transfer


@api("GET", TRANSFERS, params="TransferListParams", permission="transfer")
def show_all(call: Call) -> Thing:
    filters = ("destination", "transfer_group")
    return lists.page(call, call.realm.all("transfer"), url=TRANSFERS, filters=filters)


@api("GET", TRANSFERS + "/{id}", params="TransferRetrieveParams", permission="transfer")
def show(call: Call) -> Thing:
    return call.realm.find("transfer", call.ids["id"])


@api(
    "POST",
    TRANSFERS + "/{id}/reversals",
    params="TransferReversalCreateParams",
    permission="transfer",
)
def reverse(call: Call) -> Thing:
    """Take back all that is left, or a part of it."""
    transfer, given = show(call), call.params
    left = transfer["amount"] - transfer["amount_reversed"]
    amount = given.get("amount", left)
    if not 0 < amount <= left:
        raise ApiError(f"Transfer has {left} left to reverse.", param="amount")
    there = connected(call, transfer["destination"])
    reversal = {
        "id": new_id("trr_1"),
        "object": "transfer_reversal",
        "amount": amount,
        "created": call.now,
        "currency": transfer["currency"],
        "destination_payment_refund": None,
        "metadata": merged({}, given.get("metadata")),
        "source_refund": None,
        "transfer": transfer["id"],
    }
    reversal["balance_transaction"] = book_now(call, "transfer_refund", amount, reversal)["id"]
    book_now(there, "refund", -amount, reversal)
    call.realm.add(reversal)
    transfer["amount_reversed"] += amount
    transfer["reversed"] = transfer["amount_reversed"] == transfer["amount"]
    transfer["reversals"]["data"].insert(0, reversal)
    emit(call, "transfer.reversed", transfer)
    return reversal


@api(
    "GET", TRANSFERS + "/{id}/reversals", params="TransferReversalListParams", permission="transfer"
)
def show_reversals(call: Call) -> Thing:
    found = call.realm.where("transfer_reversal", transfer=show(call)["id"])
    return lists.page(call, found, url=f"{TRANSFERS}/{call.ids['id']}/reversals")


@api("POST", PAYOUTS, params="PayoutCreateParams", permission="payout")
def pay_out(call: Call) -> Thing:
    """From the balance of the account that the caller acts for, to its bank."""
    given = call.params
    amount, currency = given["amount"], given["currency"].lower()
    check_funds(call, amount, currency)
    payout = {
        "id": new_id("po_1"),
        "object": "payout",
        "amount": amount,
        **nulls("application_fee application_fee_amount balance_transaction"),
        "arrival_date": call.now + ARRIVES_S,
        "automatic": False,
        "created": call.now,
        "currency": currency,
        "description": given.get("description"),
        "destination": _bank(call),
        **nulls("failure_balance_transaction failure_code failure_message original_payout"),
        "livemode": call.livemode,
        "metadata": merged({}, given.get("metadata")),
        "method": given.get("method", "standard"),
        "payout_method": None,
        "reconciliation_status": "not_applicable",
        "reversed_by": None,
        "source_type": "card",
        "statement_descriptor": given.get("statement_descriptor"),
        "status": "pending",
        "trace_id": {"status": "pending", "value": None},
        "type": "bank_account",
    }
    payout["balance_transaction"] = book_now(call, "payout", -amount, payout)["id"]
    call.realm.add(payout)
    emit(call, "payout.created", payout)
    return payout


def _bank(call: Call) -> str | None:
    """The bank account's id, of a connected account."""
    if call.realm.platform is None:
        return None
    platform = call.world.realm(call.realm.platform, livemode=call.livemode)
    banks = platform.find("account", call.realm.account)["external_accounts"]["data"]
    if not banks:
        raise ApiError("This account has no bank account to pay out to.", code="no_account")
    return str(banks[0]["id"])


def arrive(desk: Desk, payout: Thing) -> None:
    if payout["status"] not in ("pending", "in_transit"):
        raise ApiError(f"Payout {payout['id']} is {payout['status']} already.")
    change(desk, "payout.updated", payout, status="paid")
    emit(desk, "payout.paid", payout)


def fail(desk: Desk, payout: Thing) -> None:
    """The bank sends it back, which can be days after it said paid."""
    if payout["status"] in ("failed", "canceled"):
        raise ApiError(f"Payout {payout['id']} is {payout['status']} already.")
    movement = book_now(desk, "payout_failure", payout["amount"], payout)
    payout |= {
        "status": "failed",
        "failure_balance_transaction": movement["id"],
        "failure_code": "account_closed",
        "failure_message": "The bank account has been closed.",
    }
    emit(desk, "payout.failed", payout)


@api("GET", PAYOUTS, params="PayoutListParams", permission="payout")
def show_payouts(call: Call) -> Thing:
    filters = ("status", "destination")
    return lists.page(call, call.realm.all("payout"), url=PAYOUTS, filters=filters)


@api("GET", PAYOUTS + "/{id}", params="PayoutRetrieveParams", permission="payout")
def show_payout(call: Call) -> Thing:
    return call.realm.find("payout", call.ids["id"])


@api("POST", PAYOUTS + "/{id}/cancel", params="PayoutCancelParams", permission="payout")
def cancel(call: Call) -> Thing:
    payout = show_payout(call)
    if payout["status"] != "pending":
        raise ApiError("Only pending payouts can be canceled.")
    movement = book_now(call, "payout_failure", payout["amount"], payout)
    payout |= {"status": "canceled", "failure_balance_transaction": movement["id"]}
    emit(call, "payout.canceled", payout)
    return payout
