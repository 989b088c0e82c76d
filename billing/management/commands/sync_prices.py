"""`sync_prices`: packs and plans from the prices at Stripe."""

from typing import Any

from django.core.management.base import CommandParser
from django.db import transaction

from billing.stripe import products
from config.kit.commands import ActionCommand, Answer
from paywalls.lookup import find_paywall


class Command(ActionCommand):
    """Makes packs and plans what the developer's prices say."""

    help = (
        "Sell what your prices at Stripe say: those with includedCredits in their metadata become "
        "packs, or plans if they recur; those that are not active any more are closed."
    )
    positionals = ("paywall",)
    is_atomic = False

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("paywall", help="pw_… id or name")

    def act(self, options: dict[str, Any], actor: str) -> Answer:
        paywall = find_paywall(options["paywall"])
        prices = products.fetch(paywall)
        with transaction.atomic():
            done = products.sync(paywall, prices, actor=actor)
        return Answer(
            text=f"{paywall.name} sells {done.sold} of the prices at Stripe; closed {done.closed}.",
            facts={"sold": done.sold, "closed": done.closed, "skipped": done.skipped},
            warnings=tuple(done.skipped),
        )
