"""What becomes of a checkout session: paid, declined, on its way, expired."""

from typing import Any

from tests.fakes.stripe import (
    amounts,
    coupons,
    customers,
    intents,
    invoices,
    methods,
    setups,
    subscriptions,
)
from tests.fakes.stripe.errors import ApiError
from tests.fakes.stripe.events import emit
from tests.fakes.stripe.metadata import merged
from tests.fakes.stripe.routes import Desk
from tests.fakes.stripe.world import Thing

EMAIL = "payer@example.com"
INTENT = frozenset(
    {"description", "receipt_email", "setup_future_usage", "transfer_group", "shipping"}
)
"""What `payment_intent_data` gives to the intent, beside its metadata."""


def price(desk: Desk, session: Thing) -> None:
    """Set the amounts, from its items and discounts. Raises: ApiError"""
    if session["mode"] == "setup":
        session |= {"amount_subtotal": None, "amount_total": None, "total_details": None}
        return
    items = session["_items"]
    has_tax = session["automatic_tax"]["enabled"]
    details = amounts.apply(desk, items, session["discounts"] or [], has_tax=has_tax)
    session |= {
        "amount_subtotal": sum(item["amount_subtotal"] for item in items),
        "amount_total": sum(item["amount_total"] for item in items),
        "total_details": details,
    }


def enter_code(desk: Desk, session: Thing, text: str) -> None:
    """A promotion code, typed on the page. Raises: ApiError"""
    if not session["allow_promotion_codes"]:
        raise ApiError("This page takes no promotion codes.")
    session["discounts"] = [{"coupon": None, **coupons.by_code(desk, text)}]
    price(desk, session)


def pay(
    desk: Desk,
    session: Thing,
    method: Thing | None = None,
    *,
    email: str | None = None,
    promotion_code: str | None = None,
) -> Thing:
    """The payer presses Pay. The session stays open if the payment is declined.

    Raises: ApiError when it is not open any more.
    """
    if session["status"] != "open" or session["expires_at"] <= desk.now:
        raise ApiError(f"This Checkout Session is {session['status']} and cannot be paid.")
    if promotion_code:
        enter_code(desk, session, promotion_code)
    method = method or methods.new(desk)
    email = email or session["customer_email"] or EMAIL
    method["billing_details"] |= {"email": email, "name": "Jenny Payer"}
    customer = _customer(desk, session, email)
    if session["mode"] == "subscription":
        _subscribe(desk, session, method, email)
    elif session["mode"] == "setup":
        _set_up(desk, session, method, email, customer)
    elif not session["amount_total"]:
        complete(desk, session, "no_payment_required", email)
    else:
        _charge(desk, session, method, email, customer)
    return session


def _customer(desk: Desk, session: Thing, email: str) -> Thing | None:
    """The session's, or a new one if it needs one."""
    if session["customer"]:
        return customers.present(desk, session["customer"])
    wants = (
        session["customer_creation"] == "always"
        or session["mode"] == "subscription"
        or (session["invoice_creation"] or {}).get("enabled")
        or session["_data"]["payment_intent_data"].get("setup_future_usage")
    )
    if not wants:
        return None
    customer = customers.new(desk, email=email, name="Jenny Payer")
    session["customer"] = customer["id"]
    return customer


def _charge(desk: Desk, session: Thing, method: Thing, email: str, customer: Thing | None) -> None:
    data = session["_data"]["payment_intent_data"]
    if session["payment_intent"]:
        intent = desk.realm.find("payment_intent", session["payment_intent"])
        intent["amount"] = session["amount_total"]
    else:
        intent = intents.new(
            desk,
            session["amount_total"],
            session["currency"],
            customer=customer and customer["id"],
            metadata=merged({}, data.get("metadata")),
            **{name: data[name] for name in INTENT if name in data},
        )
        session["payment_intent"] = intent["id"]
    intents.pay(desk, intent, method, is_present=True)
    if intent["status"] == "succeeded":
        if customer and (session["invoice_creation"] or {}).get("enabled"):
            session["invoice"] = _receipt(desk, session, customer, intent)["id"]
        complete(desk, session, "paid", email)
    elif intent["status"] == "processing":
        complete(desk, session, "unpaid", email)


def _receipt(desk: Desk, session: Thing, customer: Thing, intent: Thing) -> Thing:
    """The invoice that `invoice_creation` asks for, paid already."""
    data = session["invoice_creation"]["invoice_data"]
    invoice = invoices.new(
        desk,
        customer,
        _one_time_lines(desk, session["_items"]),
        "manual",
        description=data["description"],
        footer=data["footer"],
        metadata=merged({}, data["metadata"]),
        discounts=[made["id"] for made in _discounts(desk, session)],
        is_taxed=session["automatic_tax"]["enabled"],
    )
    invoice["_intent"] = intent["id"]
    invoices.finalize(desk, invoice)
    invoices.mark_paid(desk, invoice, intent)
    return invoice


def _one_time_lines(desk: Desk, items: list[Thing]) -> list[Thing]:
    moment = {"start": desk.now, "end": desk.now}
    return [
        invoices.line(
            desk,
            item["price"],
            item["quantity"],
            item["amount_subtotal"],
            period=moment,
            parent=None,
        )
        for item in items
    ]


def _discounts(desk: Desk, session: Thing) -> list[Thing]:
    """The uses of the session's coupons."""
    made = []
    for entry in session["discounts"] or []:
        given = {name: value for name, value in entry.items() if value}
        coupon, code = coupons.usable(desk, given)
        made.append(coupons.discount(desk, coupon, code, session=session["id"]))
    return made


def _subscribe(desk: Desk, session: Thing, method: Thing, email: str) -> None:
    data = session["_data"]["subscription_data"]
    customer = desk.realm.find("customer", session["customer"])
    recurring = [item for item in session["_items"] if item["price"]["recurring"]]
    trial_days = data.get("trial_period_days", 0)
    if method["_behaviour"] in ("decline", "insufficient_funds", "expired"):
        _decline_first(desk, session, method, customer)
        return
    methods.attach(desk, method["id"], customer)
    subscription = subscriptions.new(
        desk,
        customer,
        [(item["price"], item["quantity"]) for item in recurring],
        trial_days=trial_days,
        is_taxed=session["automatic_tax"]["enabled"],
        metadata=merged({}, data.get("metadata")),
        description=data.get("description"),
        default_payment_method=method["id"],
    )
    subscriptions.discount(desk, subscription, session["discounts"] or [], session["id"])
    extra = _one_time_lines(desk, [each for each in session["_items"] if each not in recurring])
    is_free = bool(trial_days) and not extra
    invoice = subscriptions.start(desk, subscription, method, extra=extra, is_present=True)
    session |= {"subscription": subscription["id"], "invoice": invoice["id"]}
    status = "no_payment_required" if is_free or not invoice["amount_due"] else "paid"
    complete(desk, session, status, email)


def _decline_first(desk: Desk, session: Thing, method: Thing, customer: Thing) -> None:
    """On the page a declined card starts nothing: a failed charge is all there is."""
    if session["amount_total"]:
        intent = intents.new(
            desk, session["amount_total"], session["currency"], customer=customer["id"]
        )
        intents.pay(desk, intent, method, is_present=True)


def _set_up(desk: Desk, session: Thing, method: Thing, email: str, customer: Thing | None) -> None:
    data = session["_data"]["setup_intent_data"]
    intent = setups.new(
        desk,
        customer=customer and customer["id"],
        description=data.get("description"),
        metadata=merged({}, data.get("metadata")),
    )
    session["setup_intent"] = intent["id"]
    setups.confirm_with(desk, intent, method, is_present=True)
    if intent["status"] == "succeeded":
        complete(desk, session, "no_payment_required", email)


def complete(desk: Desk, session: Thing, payment_status: str, email: str) -> None:
    details: dict[str, Any] = {
        "business_name": None,
        "individual_name": None,
        "phone": None,
        "tax_ids": [],
        "address": methods.billing_details()["address"] | {"country": "US"},
        "email": email,
        "name": "Jenny Payer",
        "tax_exempt": "none",
    }
    session |= {
        "status": "complete",
        "payment_status": payment_status,
        "customer_details": details,
        "url": None,
    }
    coupons.redeem(desk, session["discounts"] or [])
    emit(desk, "checkout.session.completed", session)


def settle_later(desk: Desk, session: Thing, *, succeeds: bool) -> Thing:
    """A payment that was on its way arrives or bounces.

    Raises: ApiError when none is.
    """
    if session["status"] != "complete" or session["payment_status"] != "unpaid":
        raise ApiError("No payment of this Checkout Session is on its way.")
    intent = desk.realm.find("payment_intent", session["payment_intent"])
    intents.finish(desk, intent, succeeds=succeeds)
    if succeeds:
        session["payment_status"] = "paid"
    ending = "succeeded" if succeeds else "failed"
    emit(desk, f"checkout.session.async_payment_{ending}", session)
    return session


def expire(desk: Desk, session: Thing) -> None:
    """Nobody paid in time, or the seller ended it."""
    session |= {"status": "expired", "url": None}
    if session["payment_intent"]:
        intent = desk.realm.find("payment_intent", session["payment_intent"])
        intent |= {"status": "canceled", "canceled_at": desk.now}
        intent["cancellation_reason"] = (
            "expired" if desk.now >= session["expires_at"] else "abandoned"
        )
        emit(desk, "payment_intent.canceled", intent)
    emit(desk, "checkout.session.expired", session)
