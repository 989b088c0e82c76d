"""`stop_selling`: take a pack or a plan off the page."""

from typing import Any

from django.core.management.base import CommandParser

from billing.stripe import products
from config.kit.commands import ActionCommand, Answer
from paywalls.lookup import find_paywall


class Command(ActionCommand):
    """Closes a pack or a plan."""

    help = "Sell a pack or a plan no more. Subscriptions that run go on until they are ended."
    positionals = ("paywall", "id")

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("paywall", help="pw_… id or name")
        parser.add_argument("id", help="pack_… or plan_…")

    def act(self, options: dict[str, Any], actor: str) -> Answer:
        paywall = find_paywall(options["paywall"])
        row = products.stop_selling(paywall, options["id"], actor=actor)
        return Answer(
            text=f"{paywall.name} sells {row.name} no more.",
            facts={"id": products.public_id(row)},
        )
