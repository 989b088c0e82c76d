"""Invoices: drafted, finalized, paid or not; by a subscription or by hand."""

from typing import Any, Final

from tests.fakes.stripe import amounts, coupons, intents, methods
from tests.fakes.stripe.errors import ApiError
from tests.fakes.stripe.events import emit
from tests.fakes.stripe.lists import whole
from tests.fakes.stripe.metadata import nulls
from tests.fakes.stripe.routes import Desk
from tests.fakes.stripe.world import Thing, new_id

PATH = "/v1/invoices"
RETRY_S: Final = (3 * 86_400, 5 * 86_400, 7 * 86_400)
"""Seconds after a failed try to the next one; after the last the subscription ends."""

NULL: Final = """account_tax_ids application automatically_finalizes_at
custom_fields customer_address customer_email customer_name customer_phone customer_shipping
default_payment_method default_source description due_date effective_at ending_balance footer
from_invoice hosted_invoice_url invoice_pdf last_finalization_error latest_revision
next_payment_attempt number on_behalf_of parent receipt_number rendering shipping_cost
shipping_details statement_descriptor test_clock threshold_reason webhooks_delivered_at"""


def line(desk: Desk, price: Thing, quantity: int, amount: int, **given: Any) -> Thing:
    """One line; `given` has at least `period` and `parent`."""
    product = desk.realm.find("product", price["product"])
    return {
        "id": new_id("il_1"),
        "object": "line_item",
        "amount": amount,
        "currency": price["currency"],
        "description": f"{quantity} x {product['name']}",
        "discount_amounts": [],
        "discountable": True,
        "discounts": [],
        "invoice": None,
        "livemode": desk.livemode,
        "metadata": dict(price["metadata"]),
        "pretax_credit_amounts": [],
        "pricing": {
            "price_details": {"price": price["id"], "product": product["id"]},
            "type": "price_details",
            "unit_amount_decimal": str(price["unit_amount"] or 0),
        },
        "quantity": quantity,
        "subtotal": amount,
        "taxes": [],
        **given,
    }


def parent_of_item(item: Thing, *, proration: bool = False) -> Thing:
    """A line's origin in a subscription."""
    return {
        "type": "subscription_item_details",
        "invoice_item_details": None,
        "subscription_item_details": {
            "invoice_item": None,
            "proration": proration,
            "proration_details": {"credited_items": None},
            "subscription": item["subscription"],
            "subscription_item": item["id"],
        },
    }


def new(desk: Desk, customer: Thing, lines: list[Thing], reason: str, **given: Any) -> Thing:
    """A draft. `given` may name `subscription` (whole), `discounts` (ids) and `is_taxed`."""
    subscription = given.pop("subscription", None)
    invoice_id = new_id("in_1")
    for each in lines:
        each["invoice"] = invoice_id
    starts = subscription["items"]["data"][0]["current_period_start"] if subscription else desk.now
    invoice = {
        "id": invoice_id,
        "object": "invoice",
        **nulls(NULL),
        "account_country": "US",
        "account_name": "Stripe stand-in",
        "amount_overpaid": 0,
        "amount_paid": 0,
        "amount_shipping": 0,
        "attempt_count": 0,
        "attempted": False,
        "auto_advance": True,
        "automatic_tax": automatic_tax(enabled=given.pop("is_taxed", False)),
        "billing_reason": reason,
        "collection_method": "charge_automatically",
        "created": desk.now,
        "currency": lines[0]["currency"] if lines else "usd",
        "customer": customer["id"],
        "customer_email": customer["email"],
        "customer_name": customer["name"],
        "customer_tax_exempt": "none",
        "customer_tax_ids": [],
        "default_tax_rates": [],
        "discounts": [],
        "issuer": {"type": "self"},
        "lines": whole(lines, f"{PATH}/{invoice_id}/lines"),
        "livemode": desk.livemode,
        "metadata": {},
        "parent": _parent(subscription),
        "payment_settings": nulls("default_mandate payment_method_options payment_method_types"),
        "period_end": desk.now,
        "period_start": starts,
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "starting_balance": 0,
        "status": "draft",
        "status_transitions": nulls("finalized_at marked_uncollectible_at paid_at voided_at"),
        **given,
    }
    total_up(desk, invoice)
    desk.realm.add(invoice)
    emit(desk, "invoice.created", invoice)
    return invoice


def _parent(subscription: Thing | None) -> Thing | None:
    if subscription is None:
        return None
    return {
        "type": "subscription_details",
        "quote_details": None,
        "subscription_details": {
            "metadata": dict(subscription["metadata"]),
            "subscription": subscription["id"],
        },
    }


def automatic_tax(*, enabled: bool) -> Thing:
    return {
        "disabled_reason": None,
        "enabled": enabled,
        "liability": {"type": "self"} if enabled else None,
        "provider": "stripe" if enabled else None,
        "status": "complete" if enabled else None,
    }


def subscription_of(desk: Desk, invoice: Thing) -> Thing | None:
    if invoice["parent"] is None:
        return None
    return desk.realm.find(
        "subscription", invoice["parent"]["subscription_details"]["subscription"]
    )


def total_up(desk: Desk, invoice: Thing) -> None:
    """Sums, less discounts, plus tax; what is due is never below zero."""
    lines = invoice["lines"]["data"]
    subtotal = sum(each["amount"] for each in lines)
    cuts = [
        {"amount": _cut(desk, invoice, each, subtotal), "discount": each}
        for each in invoice["discounts"]
    ]
    off = sum(cut["amount"] for cut in cuts)
    if invoice["automatic_tax"]["enabled"]:
        _tax(desk, lines, off)
    taxes = [tax for each in lines for tax in each["taxes"]]
    on_top = sum(tax["amount"] for tax in taxes if tax["tax_behavior"] == "exclusive")
    total = subtotal - off + on_top
    invoice |= {
        "amount_due": max(0, total),
        "amount_remaining": max(0, total) - invoice["amount_paid"],
        "subtotal": subtotal,
        "subtotal_excluding_tax": subtotal,
        "total": total,
        "total_discount_amounts": cuts,
        "total_excluding_tax": total - sum(tax["amount"] for tax in taxes),
        "total_pretax_credit_amounts": [],
        "total_taxes": taxes,
    }


def _cut(desk: Desk, invoice: Thing, discount_id: str, subtotal: int) -> int:
    discount = desk.realm.find("discount", discount_id)
    coupon = desk.realm.find("coupon", discount["source"]["coupon"])
    return coupons.off(coupon, max(0, subtotal), invoice["currency"])


def _tax(desk: Desk, lines: list[Thing], off: int) -> None:
    """Tax each line on what the discount leaves of it, the first lines discounted first."""
    for each in lines:
        cut = min(off, max(0, each["amount"]))
        off -= cut
        price = desk.realm.find("price", each["pricing"]["price_details"]["price"])
        is_inclusive = price["tax_behavior"] == "inclusive"
        tax, _ = amounts.taxed(each["amount"] - cut, price["tax_behavior"])
        each["taxes"] = [
            {
                "amount": tax,
                "tax_behavior": "inclusive" if is_inclusive else "exclusive",
                "tax_rate_details": None,
                "taxability_reason": "standard_rated",
                "taxable_amount": each["amount"] - cut - (tax if is_inclusive else 0),
                "type": "tax_rate_details",
            }
        ]


def finalize(desk: Desk, invoice: Thing) -> Thing:
    """No more changes: it has a number and waits for money, or is paid if it costs nothing.

    Raises: ApiError when it is no draft.
    """
    if invoice["status"] != "draft":
        raise ApiError(
            f"Invoice {invoice['id']} is not a draft, so it can't be finalized.",
            code="invoice_not_editable",
        )
    customer = desk.realm.find("customer", invoice["customer"])
    sequence = customer["next_invoice_sequence"]
    customer["next_invoice_sequence"] = sequence + 1
    page = f"{desk.world.base_url}/invoices/{invoice['id']}"
    invoice |= {
        "status": "open",
        "number": f"{customer['invoice_prefix']}-{sequence:04}",
        "effective_at": desk.now,
        "ending_balance": 0,
        "hosted_invoice_url": page,
        "invoice_pdf": f"{page}/pdf",
    }
    invoice["status_transitions"]["finalized_at"] = desk.now
    emit(desk, "invoice.finalized", invoice)
    if not invoice["amount_due"]:
        mark_paid(desk, invoice, None)
    return invoice


def collect(desk: Desk, invoice: Thing, method: Thing | None, *, is_present: bool = False) -> bool:
    """Try to take what is due with `method`; tells whether the invoice is paid."""
    if invoice["status"] == "paid":
        return True
    invoice |= {"attempted": True, "attempt_count": invoice["attempt_count"] + 1}
    if method is None:
        emit(desk, "invoice.payment_failed", invoice)
        return False
    intent = _intent(desk, invoice)
    intents.pay(desk, intent, method, is_present=is_present)
    if intent["status"] == "succeeded":
        mark_paid(desk, invoice, intent)
        return True
    if intent["status"] == intents.ACTION:
        emit(desk, "invoice.payment_action_required", invoice)
    emit(desk, "invoice.payment_failed", invoice)
    return False


def _intent(desk: Desk, invoice: Thing) -> Thing:
    """The invoice's own, made at the first try."""
    if kept := invoice.get("_intent"):
        return desk.realm.find("payment_intent", kept)
    intent = intents.new(
        desk,
        invoice["amount_due"],
        invoice["currency"],
        customer=invoice["customer"],
        description=f"Payment for invoice {invoice['number']}",
        setup_future_usage="off_session" if invoice["parent"] else None,
    )
    invoice["_intent"] = intent["id"]
    return intent


def mark_paid(desk: Desk, invoice: Thing, intent: Thing | None, *, outside: bool = False) -> None:
    """Paid by `intent`, by nothing because it was free, or outside of Stripe."""
    due = invoice["amount_due"]
    invoice |= {
        "status": "paid",
        "attempted": True,
        "amount_paid": due,
        "amount_remaining": 0,
        "next_payment_attempt": None,
    }
    if outside:
        invoice["amount_paid_off_stripe"] = due
    invoice["status_transitions"]["paid_at"] = desk.now
    if intent:
        _link(desk, invoice, intent)
    emit(desk, "invoice.paid", invoice)
    if not outside:
        emit(desk, "invoice.payment_succeeded", invoice)


def _link(desk: Desk, invoice: Thing, intent: Thing) -> None:
    payment = {
        "id": new_id("inpay_1"),
        "object": "invoice_payment",
        "amount_paid": intent["amount"],
        "amount_requested": intent["amount"],
        "created": desk.now,
        "currency": invoice["currency"],
        "invoice": invoice["id"],
        "is_default": True,
        "livemode": desk.livemode,
        "payment": {"type": "payment_intent", "payment_intent": intent["id"]},
        "status": "paid",
        "status_transitions": {"canceled_at": None, "paid_at": desk.now},
    }
    desk.realm.add(payment)
    emit(desk, "invoice_payment.paid", payment)


def method_of(desk: Desk, invoice: Thing) -> Thing | None:
    """The subscription's way to pay, else the customer's."""
    subscription = subscription_of(desk, invoice)
    customer = desk.realm.find("customer", invoice["customer"])
    wanted = subscription and subscription["default_payment_method"]
    wanted = wanted or customer["invoice_settings"]["default_payment_method"]
    return methods.known(desk, wanted) if wanted else None


def schedule(desk: Desk, invoice: Thing) -> bool:
    """Plan the next try after a failed one; tells whether there is one."""
    failures = invoice["attempt_count"]
    if failures > len(RETRY_S):
        invoice["next_payment_attempt"] = None
        return False
    invoice["next_payment_attempt"] = desk.now + RETRY_S[failures - 1]
    return True
