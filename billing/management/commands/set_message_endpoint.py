"""`set_message_endpoint`: refusals in the words of the developer's app."""

from typing import Any

from django.core.management.base import CommandParser

from billing.webhooks import subscriptions
from config.kit.commands import ActionCommand, Answer
from paywalls import lookup


class Command(ActionCommand):
    """Switches the endpoint on or off, and shows its secret once."""

    help = (
        "Ask an address of yours for the text of a refusal: a signed POST, answered with a message "
        "within 3 seconds; else the paywall's own text is used."
    )
    positionals = ("paywall", "url")

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("paywall", help="pw_… id or name")
        parser.add_argument("url", help="such as https://example.com/words; none switches it off")
        parser.add_argument("--secret", default="", help="16 characters or more (one is made)")

    def act(self, options: dict[str, Any], actor: str) -> Answer:
        paywall, kind = lookup.find_paywall(options["paywall"]), subscriptions.Kind.MESSAGE
        if options["url"] == "none":
            subscriptions.disconnect(paywall, kind, actor=actor)
            text = f"{paywall.name} speaks in its own templates."
            return Answer(text=text, facts={"paywall": paywall.public_id, "url": None})
        row, secret = subscriptions.connect(
            paywall, kind, options["url"], options["secret"], actor=actor
        )
        return Answer(
            text=f"{paywall.name} asks {row.url} for its words. The secret, shown only now:\n"
            f"{secret}",
            facts={"paywall": paywall.public_id, "url": row.url, "secret": secret},
        )
