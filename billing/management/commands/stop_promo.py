"""`stop_promo`: a code gives nothing more."""

from typing import Any

from django.core.management.base import CommandParser

from billing.stripe import promos
from config.kit.commands import ActionCommand, Answer
from paywalls.lookup import find_paywall


class Command(ActionCommand):
    """Ends a promotion code."""

    help = "End a promotion code. Users keep what it gave them."
    positionals = ("paywall", "code")

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("paywall", help="pw_… id or name")
        parser.add_argument("code", help="as it was made")

    def act(self, options: dict[str, Any], actor: str) -> Answer:
        paywall = find_paywall(options["paywall"])
        promo = promos.stop(paywall, options["code"], actor=actor)
        return Answer(
            text=f"{promo.code} gives nothing more on {paywall.name}; {promo.uses} users had it.",
            facts={"paywall": paywall.public_id, "code": promo.code, "uses": promo.uses},
        )
