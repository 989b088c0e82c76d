"""`set_credits`: show credits instead of money."""

from typing import Any

from django.core.management.base import CommandParser

from config.kit.commands import ActionCommand, Answer, read_count
from paywalls import lookup, rules


class Command(ActionCommand):
    """Sets how amounts are shown."""

    help = (
        "Show amounts on pages as credits of a name and a fixed rate, such as 100 credits for one "
        "unit of the currency. The API and the books speak money. A rate of 0 shows money again."
    )
    positionals = ("paywall", "rate")

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("paywall", help="pw_… id or name")
        parser.add_argument("rate", help="credits for one unit of the currency; 0 shows money")
        parser.add_argument("--name", default="credits", help="what they are called (credits)")

    def act(self, options: dict[str, Any], actor: str) -> Answer:
        paywall = lookup.find_paywall(options["paywall"])
        rate = read_count(options["rate"], param="rate")
        name = options["name"] if rate else ""
        version = rules.set_credits(paywall, name=name, per_unit=rate, actor=actor)
        shown = f"1 {paywall.currency} as {rate} {name}" if rate else "money"
        return Answer(
            text=f"{paywall.name} shows {shown} (price version {version.number}).",
            facts={
                "paywall": paywall.public_id,
                "version": version.number,
                "name": name,
                "per_unit": rate,
            },
        )
