"""`set_refills`: whether people may save a card for automatic top-ups."""

from typing import Any

from django.core.management.base import CommandParser

from billing.stripe import payment_settings
from config.kit.commands import ActionCommand, Answer
from config.kit.errors import InvalidRequestError
from paywalls.lookup import find_paywall


class Command(ActionCommand):
    """Switches a paywall's automatic top-ups on or off."""

    help = (
        "Let people save a card on their page that tops their balance up by itself when it is low. "
        "Off, no saved card is charged; what people agreed to stays theirs to end."
    )
    positionals = ("paywall", "switch")

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("paywall", help="pw_… id or name")
        parser.add_argument("switch", help="on or off")

    def act(self, options: dict[str, Any], actor: str) -> Answer:
        paywall = find_paywall(options["paywall"])
        if options["switch"] not in ("on", "off"):
            raise InvalidRequestError("It is on or off.", param="switch")
        is_on = options["switch"] == "on"
        payment_settings.offer_refills(paywall, is_on=is_on, actor=actor)
        can = "may save a card for" if is_on else "get no more"
        return Answer(
            text=f"Users of {paywall.name} {can} automatic top-ups.",
            facts={"paywall": paywall.public_id, "refills": is_on},
        )
