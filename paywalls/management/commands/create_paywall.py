"""`create_paywall`: one product's configuration."""

from typing import Any

from django.core.management.base import CommandParser

from config.kit.commands import ActionCommand, Answer
from paywalls import lookup, paywalls


class Command(ActionCommand):
    """Makes a paywall."""

    help = (
        "Make a paywall. Mode and currency are fixed for ever. Then: connect_provider, set_price, "
        "create_key."
    )
    positionals = ("name",)

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="shown to end users when money is asked for")
        parser.add_argument(
            "--team", default="", help="team_… id, name or a member's e-mail (the only team)"
        )
        parser.add_argument(
            "--mode",
            default="default",
            help="default: balances live in your app (this is the default); shared: one wallet "
            "per person across apps",
        )
        parser.add_argument("--currency", default="USD", help="ISO 4217 code (USD)")
        parser.add_argument(
            "--description", help="what it is; people read it before they allow a Shared paywall"
        )
        parser.add_argument("--timezone", help="of days and months in limits (UTC)")
        parser.add_argument(
            "--test", action="store_true", help="in test as a whole: every key moves test wallets"
        )

    def act(self, options: dict[str, Any], actor: str) -> Answer:
        settings = paywalls.Settings(
            description=options["description"],
            timezone=options["timezone"],
            livemode=not options["test"],
        )
        paywall = paywalls.create(
            lookup.find_team(options["team"]),
            name=options["name"],
            mode=options["mode"],
            currency=options["currency"],
            settings=settings,
            actor=actor,
        )
        return Answer(
            text=f"Made paywall {paywall.name} ({paywall.public_id}), {paywall.mode} mode, "
            f"{paywall.currency}.",
            facts=paywalls.facts(paywall),
        )
