"""`set_credit_line`: how far below zero an end user may spend."""

from typing import Any

from django.core.management.base import CommandParser

from billing import credit
from billing.management.money import read_wallet
from config.kit.commands import ActionCommand, Answer, read_amount
from config.kit.money import format_nanos


class Command(ActionCommand):
    """Grants or withdraws a credit line."""

    help = (
        "Let an end user spend below zero, down to this amount (0 withdraws the line). What is "
        "already used cannot be withdrawn."
    )
    positionals = ("paywall", "user", "amount")

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("paywall", help="pw_… id or name")
        parser.add_argument("user", help="your own id for the user")
        parser.add_argument("amount", help="in the paywall's currency, such as 50")
        parser.add_argument("--test", action="store_true", help="a test wallet")

    def act(self, options: dict[str, Any], actor: str) -> Answer:
        paywall, user, livemode = read_wallet(options)
        nanos = read_amount(options["amount"], param="amount")
        spendable = credit.set_line(paywall, user, nanos, livemode=livemode, actor=actor)
        return Answer(
            text=f"{user} on {paywall.name} may spend {format_nanos(spendable)} now.",
            facts={"user": user, "line": options["amount"], "spendable": format_nanos(spendable)},
        )
