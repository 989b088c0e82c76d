"""Invoices, invoice items and invoice payments as the API makes, shows and settles them."""

from typing import Any

from tests.fakes.stripe import customers, invoices, lists, methods, subscriptions
from tests.fakes.stripe.errors import ApiError, CardError
from tests.fakes.stripe.events import change, emit
from tests.fakes.stripe.expand import included
from tests.fakes.stripe.metadata import merged, nulls
from tests.fakes.stripe.routes import Call, Desk, api
from tests.fakes.stripe.world import Thing, new_id

INVOICES, ITEMS, PAYMENTS = invoices.PATH, "/v1/invoiceitems", "/v1/invoice_payments"


@api("POST", ITEMS, params="InvoiceItemCreateParams", permission="invoice")
def create_item(call: Call) -> Thing:
    given = call.params
    customer = customers.present(call, given["customer"])
    if "amount" not in given:
        raise ApiError("This stand-in wants `amount`.", code="parameter_missing", param="amount")
    currency = given.get("currency", "usd").lower()
    item = {
        "id": new_id("ii_1"),
        "object": "invoiceitem",
        "amount": given["amount"],
        "currency": currency,
        "customer": customer["id"],
        "date": call.now,
        "description": given.get("description"),
        "discountable": True,
        "discounts": [],
        "invoice": given.get("invoice"),
        "livemode": call.livemode,
        "metadata": merged({}, given.get("metadata")),
        "net_amount": given["amount"],
        "parent": None,
        "period": {"start": call.now, "end": call.now},
        "pricing": None,
        "proration": False,
        "quantity": 1,
        "quantity_decimal": "1",
        **nulls("tax_rates test_clock"),
    }
    item["tax_rates"] = []
    call.realm.add(item)
    emit(call, "invoiceitem.created", item)
    if item["invoice"]:
        invoice = _draft(call, item["invoice"])
        invoice["lines"]["data"].append(_line(call, item, invoice["id"]))
        invoices.total_up(call, invoice)
    return item


def _line(desk: Desk, item: Thing, invoice_id: str) -> Thing:
    item["invoice"] = invoice_id
    return {
        "id": new_id("il_1"),
        "object": "line_item",
        "amount": item["amount"],
        "currency": item["currency"],
        "description": item["description"],
        "discount_amounts": [],
        "discountable": True,
        "discounts": [],
        "invoice": invoice_id,
        "livemode": desk.livemode,
        "metadata": dict(item["metadata"]),
        "parent": {
            "type": "invoice_item_details",
            "subscription_item_details": None,
            "invoice_item_details": {
                "invoice_item": item["id"],
                "proration": False,
                "proration_details": {"credited_items": None},
                "subscription": None,
            },
        },
        "period": item["period"],
        "pretax_credit_amounts": [],
        "pricing": None,
        "quantity": 1,
        "subtotal": item["amount"],
        "taxes": [],
    }


@api("GET", ITEMS, params="InvoiceItemListParams", permission="invoice")
def show_items(call: Call) -> Thing:
    found = list(call.realm.all("invoiceitem"))
    if call.params.get("pending"):
        found = [each for each in found if each["invoice"] is None]
    return lists.page(call, found, url=ITEMS, filters=("customer", "invoice"))


@api("POST", INVOICES, params="InvoiceCreateParams", permission="invoice")
def create(call: Call) -> Thing:
    """By hand, with the items that wait for it; a draft."""
    given = call.params
    customer = customers.present(call, str(given.get("customer")))
    waiting = []
    if given.get("pending_invoice_items_behavior") == "include":
        waiting = call.realm.where("invoiceitem", customer=customer["id"], invoice=None)
    lines = [_line(call, item, "") for item in waiting]
    invoice = invoices.new(
        call,
        customer,
        lines,
        "manual",
        description=given.get("description"),
        metadata=merged({}, given.get("metadata")),
        auto_advance=given.get("auto_advance", False),
    )
    for item in waiting:
        item["invoice"] = invoice["id"]
    return invoice


@api("GET", INVOICES, params="InvoiceListParams", permission="invoice")
def show_all(call: Call) -> Thing:
    found = list(call.realm.all("invoice"))
    if wanted := call.params.get("subscription"):
        found = [
            each
            for each in found
            if (invoices.subscription_of(call, each) or {}).get("id") == wanted
        ]
    return lists.page(call, found, url=INVOICES, filters=("customer", "status"))


@api("GET", INVOICES + "/{id}", params="InvoiceRetrieveParams", permission="invoice")
def show(call: Call) -> Thing:
    return call.realm.find("invoice", call.ids["id"])


@api("POST", INVOICES + "/{id}", params="InvoiceUpdateParams", permission="invoice")
def update(call: Call) -> Thing:
    invoice = show(call)
    metadata = merged(invoice["metadata"], call.params.get("metadata"))
    change(call, "invoice.updated", invoice, metadata=metadata)
    return invoice


def _draft(desk: Desk, invoice_id: str) -> Thing:
    invoice = desk.realm.find("invoice", invoice_id)
    if invoice["status"] != "draft":
        raise ApiError(f"Invoice {invoice_id} is no draft.", code="invoice_not_editable")
    return invoice


@api("GET", INVOICES + "/{id}/lines", params="InvoiceLineItemListParams", permission="invoice")
def show_lines(call: Call) -> Thing:
    lines: list[Thing] = show(call)["lines"]["data"]
    return lists.window(call, lines, url=f"{INVOICES}/{call.ids['id']}/lines")


@api(
    "POST",
    INVOICES + "/{id}/finalize",
    params="InvoiceFinalizeInvoiceParams",
    permission="invoice",
)
def finalize(call: Call) -> Thing:
    return invoices.finalize(call, show(call))


@api("POST", INVOICES + "/{id}/pay", params="InvoicePayParams", permission="invoice")
def pay(call: Call) -> Thing:
    """With a method, with the one on file, or `paid_out_of_band`.

    Raises: CardError
    """
    invoice, given = show(call), call.params
    if invoice["status"] == "draft":
        invoices.finalize(call, invoice)
    if invoice["status"] == "paid" and invoice["amount_due"]:
        raise ApiError("Invoice is already paid", code="invoice_already_paid")
    if invoice["status"] not in ("open", "uncollectible", "paid"):
        raise ApiError(f"Invoice is {invoice['status']}.", code="invoice_not_editable")
    if given.get("paid_out_of_band"):
        invoices.mark_paid(call, invoice, None, outside=True)
    elif invoice["status"] != "paid":
        _collect(call, invoice, given)
    if subscription := invoices.subscription_of(call, invoice):
        subscriptions.follow(call, subscription, invoice, is_paid=True)
    return invoice


def _collect(call: Call, invoice: Thing, given: dict[str, Any]) -> None:
    method = (
        methods.known(call, given["payment_method"])
        if "payment_method" in given
        else invoices.method_of(call, invoice)
    )
    if method is None:
        raise ApiError(
            "There is no default payment method.", code="invoice_payment_intent_requires_action"
        )
    if not invoices.collect(call, invoice, method):
        intent = call.realm.find("payment_intent", invoice["_intent"])
        error = intent["last_payment_error"] or {"message": "Not paid.", "code": "card_declined"}
        raise CardError(error["message"], code=error["code"])


@api("POST", INVOICES + "/{id}/void", params="InvoiceVoidInvoiceParams", permission="invoice")
def void(call: Call) -> Thing:
    return _close(call, "void", "voided_at", "invoice.voided")


@api(
    "POST",
    INVOICES + "/{id}/mark_uncollectible",
    params="InvoiceMarkUncollectibleParams",
    permission="invoice",
)
def write_off(call: Call) -> Thing:
    return _close(call, "uncollectible", "marked_uncollectible_at", "invoice.marked_uncollectible")


def _close(call: Call, status: str, moment: str, kind: str) -> Thing:
    invoice = show(call)
    if invoice["status"] not in ("open", "uncollectible"):
        raise ApiError(f"Invoice is {invoice['status']}.", code="invoice_not_editable")
    invoice |= {"status": status, "next_payment_attempt": None}
    invoice["status_transitions"][moment] = call.now
    emit(call, kind, invoice)
    return invoice


@included("invoice", "payments")
def payments_of(desk: Desk, invoice: Thing) -> Thing:
    found = desk.realm.where("invoice_payment", invoice=invoice["id"])
    return lists.whole(found, f"{PAYMENTS}?invoice={invoice['id']}")


@api("GET", PAYMENTS, params="InvoicePaymentListParams", permission="invoice")
def show_payments(call: Call) -> Thing:
    found = list(call.realm.all("invoice_payment"))
    if payment := call.params.get("payment"):
        wanted = payment.get("payment_intent")
        found = [each for each in found if each["payment"]["payment_intent"] == wanted]
    return lists.page(call, found, url=PAYMENTS, filters=("invoice", "status"))


@api("GET", PAYMENTS + "/{id}", params="InvoicePaymentRetrieveParams", permission="invoice")
def show_payment(call: Call) -> Thing:
    return call.realm.find("invoice_payment", call.ids["id"])
