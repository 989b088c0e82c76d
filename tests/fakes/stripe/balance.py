"""The account's own money: balance transactions and what they add up to."""

from collections import Counter

from tests.fakes.stripe import lists
from tests.fakes.stripe.routes import Call, Desk, api
from tests.fakes.stripe.world import Thing, new_id

FEE_PER_MILLE, FEE_FIXED = 29, 30
AVAILABLE_AFTER_S = 2 * 86_400
DISPUTE_FEE = 1500

CATEGORIES = {
    "adjustment": "dispute",
    "charge": "charge",
    "payment": "charge",
    "payout": "payout",
    "payout_failure": "payout_reversal",
    "refund": "refund",
    "refund_failure": "refund_failure",
    "transfer": "transfer",
    "transfer_refund": "transfer_reversal",
}


def fee_of(amount: int) -> int:
    return (amount * FEE_PER_MILLE + 500) // 1000 + FEE_FIXED


def book(desk: Desk, kind: str, amount: int, source: Thing, *, fee: int = 0) -> Thing:
    """A movement of the account's balance. `amount` is signed, minor units, before the fee."""
    details = [
        {
            "amount": fee,
            "application": None,
            "currency": source["currency"],
            "description": "Stripe processing fees",
            "type": "stripe_fee",
        }
    ]
    return desk.realm.add(
        {
            "id": new_id("txn_1"),
            "object": "balance_transaction",
            "amount": amount,
            "available_on": desk.now + AVAILABLE_AFTER_S,
            "balance_type": "payments",
            "created": desk.now,
            "currency": source["currency"],
            "description": source.get("description"),
            "exchange_rate": None,
            "fee": fee,
            "fee_details": details if fee else [],
            "net": amount - fee,
            "reporting_category": CATEGORIES[kind],
            "source": source["id"],
            "status": "pending",
            "type": kind,
        }
    )


def settle_due(desk: Desk) -> None:
    """Money becomes available with time."""
    for movement in desk.realm.all("balance_transaction"):
        if movement["status"] == "pending" and movement["available_on"] <= desk.now:
            movement["status"] = "available"


def available(desk: Desk, currency: str) -> int:
    """Minor units that may be transferred or paid out."""
    settle_due(desk)
    movements = desk.realm.where("balance_transaction", currency=currency)
    return sum(
        each["net"] for each in movements if each["status"] == "available" or each["net"] < 0
    )


@api("GET", "/v1/balance", params="BalanceRetrieveParams", permission="balance")
def show_balance(call: Call) -> Thing:
    settle_due(call)
    sums: dict[str, Counter[str]] = {"available": Counter(), "pending": Counter()}
    for movement in call.realm.all("balance_transaction"):
        sums[movement["status"]][movement["currency"]] += movement["net"]
    currencies = sorted(sums["available"].keys() | sums["pending"].keys()) or ["usd"]
    shown = {
        status: [
            {
                "amount": by_currency[currency],
                "currency": currency,
                "source_types": {"card": by_currency[currency]},
            }
            for currency in currencies
        ]
        for status, by_currency in sums.items()
    }
    return {"object": "balance", "livemode": call.livemode, **shown}


@api(
    "GET",
    "/v1/balance_transactions",
    params="BalanceTransactionListParams",
    permission="balance_transaction_source",
)
def show_movements(call: Call) -> Thing:
    return lists.page(
        call,
        call.realm.all("balance_transaction"),
        url="/v1/balance_transactions",
        filters=("currency", "source", "type"),
    )


@api(
    "GET",
    "/v1/balance_transactions/{id}",
    params="BalanceTransactionRetrieveParams",
    permission="balance_transaction_source",
)
def show_movement(call: Call) -> Thing:
    return call.realm.find("balance_transaction", call.ids["id"])
