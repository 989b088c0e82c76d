"""`add_pack`: credit for a price, once."""

from typing import Any

from django.core.management.base import CommandParser

from billing.stripe import amounts, products
from config.kit.commands import ActionCommand, Answer, read_amount
from config.kit.money import format_nanos
from paywalls.lookup import find_paywall


class Command(ActionCommand):
    """Puts a pack on the page behind the link."""

    help = "Sell a pack: a price, its credit, and a bonus on top that is spent first."
    positionals = ("paywall", "name", "price", "credit")

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("paywall", help="pw_… id or name")
        parser.add_argument("name", help="what people read")
        parser.add_argument("price", help="such as 20")
        parser.add_argument("credit", help="such as 20")
        parser.add_argument("--bonus", default="0", help="given on top, such as 5")

    def act(self, options: dict[str, Any], actor: str) -> Answer:
        paywall = find_paywall(options["paywall"])
        pack = products.add_pack(
            paywall,
            options["name"],
            price_nanos=read_amount(options["price"], param="price"),
            credit_nanos=read_amount(options["credit"], param="credit"),
            bonus_nanos=read_amount(options["bonus"], param="bonus"),
            actor=actor,
        )
        price = amounts.shown(
            amounts.to_nanos(pack.price_minor, paywall.currency), paywall.currency
        )
        credit = amounts.shown(pack.credit_nanos + pack.bonus_nanos, paywall.currency)
        return Answer(
            text=f"{paywall.name} sells {pack.name} ({products.public_id(pack)}):"
            f" {credit} for {price}.",
            facts={
                "pack": products.public_id(pack),
                "credit": format_nanos(pack.credit_nanos),
                "bonus": format_nanos(pack.bonus_nanos),
            },
        )
