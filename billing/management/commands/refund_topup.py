"""`refund_topup`: give a payment back to where it came from."""

from typing import Any

from django.core.management.base import CommandParser

from billing.stripe import amounts, orders, reversals
from billing.stripe.models import Order
from config.kit import ids
from config.kit.commands import ActionCommand, Answer, read_amount
from config.kit.errors import InvalidRequestError
from config.kit.money import format_nanos


class Command(ActionCommand):
    """Refunds a payment through Stripe."""

    help = (
        "Give a top-up, or a part of it, back to the card or account that paid, through Stripe. "
        "Its credit is taken from the wallet; what is spent already becomes a debt."
    )
    positionals = ("order", "amount")
    is_atomic = False

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("order", help="the order's ord_… id")
        parser.add_argument("amount", nargs="?", help="such as 5; all that is left if not given")
        parser.add_argument("--ref", default="", help="your reference: the same one refunds once")

    def act(self, options: dict[str, Any], actor: str) -> Answer:
        order_id = ids.decode("ord", options["order"])
        if order_id is None or not Order.objects.filter(pk=order_id).exists():
            raise InvalidRequestError("There is no such order.", param="order")
        order, minor = orders.find(order_id), None
        if options["amount"]:
            nanos = read_amount(options["amount"], param="amount")
            minor = amounts.to_minor(nanos, order.currency, least=1)
        made = reversals.refund(order, minor, actor=actor, ref=options["ref"])
        amount = amounts.shown(amounts.to_nanos(made.amount_minor, order.currency), order.currency)
        return Answer(
            text=f"Refunded {amount} ({made.object_id}, {made.status}).",
            facts={
                "order": order.public_id,
                "refund": made.object_id,
                "status": made.status,
                "amount_minor": made.amount_minor,
                "taken_from_wallet": format_nanos(made.booked_nanos),
            },
        )
