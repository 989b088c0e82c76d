"""`connect_posthog`: tell PostHog of each routed request."""

from typing import Any

from django.core.management.base import CommandParser

from billing.webhooks import subscriptions
from config.kit.commands import ActionCommand, Answer
from config.kit.errors import InvalidRequestError
from paywalls import lookup


class Command(ActionCommand):
    """Switches the integration on or off."""

    help = "Send an $ai_generation event to PostHog for each routed request; never a prompt."
    positionals = ("paywall", "host", "key")

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("paywall", help="pw_… id or name")
        parser.add_argument("host", help="such as https://eu.i.posthog.com; none switches it off")
        parser.add_argument("key", nargs="?", default="", help="the project's key, phc_…")

    def act(self, options: dict[str, Any], actor: str) -> Answer:
        paywall, kind = lookup.find_paywall(options["paywall"]), subscriptions.Kind.POSTHOG
        if options["host"] == "none":
            subscriptions.disconnect(paywall, kind, actor=actor)
            text = f"PostHog is told nothing of {paywall.name}."
            return Answer(text=text, facts={"paywall": paywall.public_id, "url": None})
        if not options["key"]:
            raise InvalidRequestError("Give the project's key.", param="key")
        row, _ = subscriptions.connect(paywall, kind, options["host"], options["key"], actor=actor)
        return Answer(
            text=f"PostHog is told of {paywall.name}'s requests at {row.url}.",
            facts={"paywall": paywall.public_id, "url": row.url},
        )
