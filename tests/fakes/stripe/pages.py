"""The pages that payers see, as plain as they can be."""

from collections.abc import Callable
from html import escape
from importlib.resources import files
from typing import Final
from urllib.parse import quote

from tests.fakes.stripe import intents, methods, outcomes
from tests.fakes.stripe.errors import ApiError
from tests.fakes.stripe.http import Request, Response
from tests.fakes.stripe.routes import Desk
from tests.fakes.stripe.world import Thing, World

ZERO_DECIMAL: Final = frozenset(
    {
        *("bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga"),
        *("pyg", "rwf", "ugx", "vnd", "vuv", "xaf", "xof", "xpf"),
    }
)
"""Currencies without minor units. Source: docs.stripe.com/currencies#zero-decimal."""

type Page = Callable[[World, Request, str], Response]

LAYOUT: Final = files(__package__).joinpath("page.html").read_text()


def money(amount: int, currency: str) -> str:
    """As people write it, such as `10.00 USD`."""
    if currency in ZERO_DECIMAL:
        return f"{amount:,} {currency.upper()}"
    return f"{amount // 100:,}.{amount % 100:02} {currency.upper()}"


def layout(title: str, body: str, *, notice: str = "", status: int = 200) -> Response:
    said = f'<p role="alert" class="notice">{escape(notice)}</p>' if notice else ""
    page = LAYOUT.replace("{title}", escape(title)).replace("{body}", said + body)
    return Response.html(page, status)


def button(action: str, text: str, kind: str = "") -> str:
    attributes = f'type="submit" name="action" value="{action}" class="{kind}"'
    return f"<button {attributes}>{escape(text)}</button>"


def row(text: str, amount: int, currency: str, sign: str = "") -> str:
    return f"<li><span>{text}</span> <span>{sign}{money(amount, currency)}</span></li>"


def checkout(world: World, request: Request, session_id: str) -> Response:
    """Show the session, or do what its payer pressed. Raises: NotFoundError"""
    realm, session = world.realm_of(session_id)
    if request.method != "POST":
        return _session_page(session)
    desk, form = Desk(world, realm), request.form()
    action = form.get("action", "")
    if action == "cancel":
        return Response.redirect(session["cancel_url"] or request.path)
    method = methods.new(
        desk,
        "decline" if action == "decline" else "succeed",
        "sepa_debit" if action == "pay_async" else "card",
    )
    code, email = form.get("promotion_code", "").strip(), form.get("email", "").strip()
    try:
        outcomes.pay(desk, session, method, email=email or None, promotion_code=code or None)
    except ApiError as error:
        return _session_page(session, error.message)
    if session["status"] == "open":
        return _session_page(session, "Your card was declined. Try again, or another way.")
    return Response.redirect(filled(session["success_url"], session["id"]))


def filled(url: str, session_id: str) -> str:
    return url.replace("{CHECKOUT_SESSION_ID}", quote(session_id))


def _session_page(session: Thing, notice: str = "") -> Response:
    if session["status"] != "open":
        return _closed_page(session)
    rows = "".join(
        row(
            f"{item['quantity']} &times; {escape(item['description'])}",
            item["amount_subtotal"],
            item["currency"],
        )
        for item in session["_items"]
    )
    details = session["total_details"] or {}
    if cut := details.get("amount_discount"):
        rows += row("Discount", cut, session["currency"], "&minus;")
    if tax := details.get("amount_tax"):
        rows += row("Tax", tax, session["currency"])
    total = session["amount_total"]
    price = "" if total is None else money(total, session["currency"])
    verb = {"subscription": "Subscribe", "setup": "Save card"}.get(session["mode"], "Pay")
    is_delayed = session["mode"] == "payment" and total
    fields = _fields(session)
    body = (
        f'<h1>{escape(price or "Save a card")}</h1><ul class="items">{rows}</ul>'
        f'<form method="post">{fields}{button("pay", f"{verb} {price}".strip(), "main")}'
        f"{button('decline', 'Decline')}{button('cancel', 'Cancel')}"
        + (
            "<details><summary>Other ways</summary><p>A bank debit is confirmed days later.</p>"
            f"{button('pay_async', 'Pay by bank debit')}</details>"
            if is_delayed
            else ""
        )
        + "</form>"
    )
    return layout(f"{verb} {price}".strip(), body, notice=notice)


def _fields(session: Thing) -> str:
    fields = ""
    if not session["customer"]:
        email = escape(session["customer_email"] or outcomes.EMAIL)
        fields += (
            '<label for="email">E-mail</label>'
            f'<input id="email" name="email" type="email" autocomplete="email" value="{email}">'
        )
    if session["allow_promotion_codes"]:
        fields += (
            '<label for="code">Promotion code</label>'
            '<input id="code" name="promotion_code" autocomplete="off">'
        )
    return fields


def _closed_page(session: Thing) -> Response:
    if session["status"] == "expired":
        text, link, label = "This page has expired.", session["cancel_url"], "Back"
    else:
        text, link, label = "This is paid.", filled(session["success_url"], session["id"]), "Go on"
        if session["payment_status"] == "unpaid":
            text = "Your payment is on its way."
    anchor = f'<p><a href="{escape(link, quote=True)}">{label}</a></p>' if link else ""
    return layout(text, f"<h1>{text}</h1>{anchor}")


def authenticate(world: World, request: Request, intent_id: str) -> Response:
    """The bank asks whether it was really you. Raises: NotFoundError"""
    realm, intent = world.realm_of(intent_id)
    if request.method == "POST":
        approves = request.form().get("action") == "approve"
        intents.answer(Desk(world, realm), intent, approves=approves)
        return Response.redirect(intent.get("_return_url") or request.path)
    if intent["status"] != intents.ACTION:
        return layout("Done", f"<h1>This payment is {escape(intent['status'])}.</h1>")
    ask = money(intent["amount"], intent["currency"]) if "amount" in intent else "saving your card"
    body = (
        f"<h1>Was it you?</h1><p>Your bank asks about {escape(ask)}.</p><form method='post'>"
        f"{button('approve', 'Yes, it was me', 'main')}{button('refuse', 'No')}</form>"
    )
    return layout("Was it you?", body)
