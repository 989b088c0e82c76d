"""The customer portal's page, and the pages of invoices and receipts."""

from html import escape

from tests.fakes.stripe import jobs, methods, proration, subscriptions
from tests.fakes.stripe.events import change
from tests.fakes.stripe.http import Request, Response
from tests.fakes.stripe.pages import button, layout, money, row
from tests.fakes.stripe.routes import Desk
from tests.fakes.stripe.world import Thing, World


def portal(world: World, request: Request, session_id: str) -> Response:
    """What a customer can do with plans and cards. Raises: NotFoundError"""
    realm, session = world.realm_of(session_id)
    desk = Desk(world, realm)
    configuration = realm.find("billing_portal.configuration", session["configuration"])
    mine = [
        each
        for each in realm.where("subscription", customer=session["customer"])
        if each["status"] in subscriptions.RUNNING
    ]
    if request.method == "POST":
        form = request.form()
        press(desk, session["customer"], mine, form, configuration)
        return Response.redirect(request.path)
    plans = "".join(_plan(desk, each, configuration) for each in mine)
    card = f"<form method='post'>{button('card', 'Use a card that works')}</form>"
    back = session["return_url"]
    link = f'<p><a href="{escape(back, quote=True)}">Back</a></p>' if back else ""
    body = f"<h1>Your plans</h1>{plans or '<p>No running plan.</p>'}{card}{link}"
    return layout("Your plans", body)


def press(
    desk: Desk, customer_id: str, mine: list[Thing], form: dict[str, str], configuration: Thing
) -> None:
    """Do what the customer pressed."""
    action = form.get("action", "")
    if action == "card":
        use_good_card(desk, customer_id)
    for each in mine:
        if each["id"] != form.get("subscription"):
            continue
        if action in ("cancel", "resume"):
            subscriptions.set_cancel_at_end(desk, each, wanted=action == "cancel")
        elif action in offered(configuration):
            behaviour = configuration["features"]["subscription_update"]["proration_behavior"]
            item = subscriptions.items_of(each)[0]
            wanted = (item["id"], desk.realm.find("price", action), item["quantity"])
            proration.apply(desk, each, [wanted], behaviour, {})


def use_good_card(desk: Desk, customer_id: str) -> None:
    """A new card for everything, which pays what is open at once."""
    customer = desk.realm.find("customer", customer_id)
    method = methods.attach(desk, methods.new(desk)["id"], customer)
    settings = {**customer["invoice_settings"], "default_payment_method": method["id"]}
    change(desk, "customer.updated", customer, invoice_settings=settings)
    for each in desk.realm.where("subscription", customer=customer_id):
        each["default_payment_method"] = method["id"]
    for invoice in desk.realm.where("invoice", customer=customer_id, status="open"):
        jobs.retry(desk, invoice)


def offered(configuration: Thing) -> list[str]:
    """Prices that a customer may change to."""
    update = configuration["features"]["subscription_update"]
    if not update["enabled"]:
        return []
    return [price for each in update["products"] or [] for price in each["prices"]]


def _plan(desk: Desk, subscription: Thing, configuration: Thing) -> str:
    item = subscriptions.items_of(subscription)[0]
    ends = subscription["cancel_at_period_end"]
    press_here = (
        button("resume", "Keep it") if ends else button("cancel", "Cancel at the period's end")
    )
    for price_id in offered(configuration):
        if price_id != item["price"]["id"]:
            price = desk.realm.find("price", price_id)
            press_here += button(price_id, f"Change to {_priced(desk, price)}")
    hidden = f'<input type="hidden" name="subscription" value="{subscription["id"]}">'
    state = "ends with its period" if ends else subscription["status"]
    return (
        f"<section><h2>{escape(_priced(desk, item['price']))}</h2><p>It is {state}.</p>"
        f"<form method='post'>{hidden}{press_here}</form></section>"
    )


def _priced(desk: Desk, price: Thing) -> str:
    product = desk.realm.find("product", price["product"])
    amount = money(price["unit_amount"] or 0, price["currency"])
    return f"{product['name']}, {amount} a {price['recurring']['interval']}"


def invoice_page(world: World, request: Request, invoice_id: str) -> Response:
    """An invoice with its lines, payable while it is open. Raises: NotFoundError"""
    realm, invoice = world.realm_of(invoice_id.removesuffix("/pdf"))
    desk = Desk(world, realm)
    if request.method == "POST" and invoice["status"] == "open":
        use_good_card(desk, invoice["customer"])
        return Response.redirect(request.path)
    currency = invoice["currency"]
    rows = "".join(
        row(escape(each["description"] or ""), each["amount"], currency)
        for each in invoice["lines"]["data"]
    )
    rows += row("<strong>Total</strong>", invoice["total"], currency)
    pay = f"<form method='post'>{button('pay', 'Pay', 'main')}</form>"
    title = f"Invoice {invoice['number']}, {invoice['status']}"
    form = pay if invoice["status"] == "open" else ""
    return layout(title, f"<h1>{escape(title)}</h1><ul class='items'>{rows}</ul>{form}")


def receipt(world: World, _request: Request, charge_id: str) -> Response:
    """What was paid and given back. Raises: NotFoundError"""
    _, charge = world.realm_of(charge_id)
    currency = charge["currency"]
    rows = row("Paid", charge["amount"], currency)
    if charge["amount_refunded"]:
        rows += row("Refunded", charge["amount_refunded"], currency)
    return layout("Receipt", f"<h1>Receipt</h1><ul class='items'>{rows}</ul>")
