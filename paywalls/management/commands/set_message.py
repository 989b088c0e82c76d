"""`set_message`: what the assistant says when it cannot answer."""

import sys
from typing import Any

from django.core.management.base import CommandParser

from config.kit.commands import ActionCommand, Answer
from config.kit.errors import InvalidRequestError
from paywalls import lookup, messages


class Command(ActionCommand):
    """Sets or resets a message."""

    help = (
        "Set what the assistant says on an event: authorization_required, insufficient_funds, "
        "model_unavailable, payments_unavailable. {{url}} and {{name}} are filled in, nothing "
        "else. - reads the text from standard input."
    )
    positionals = ("paywall", "event", "text")

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("paywall", help="pw_… id or name")
        parser.add_argument("event", help="one of the events above")
        parser.add_argument("text", nargs="?", default="", help="the message, or - for stdin")
        parser.add_argument("--reset", action="store_true", help="go back to the built-in text")

    def act(self, options: dict[str, Any], actor: str) -> Answer:
        paywall = lookup.find_paywall(options["paywall"])
        event, text = options["event"], options["text"]
        if bool(text) == options["reset"]:
            raise InvalidRequestError("Give either a text or --reset.", param="text")
        if options["reset"]:
            messages.reset_message(paywall, event, actor=actor)
            text = messages.DEFAULTS[event]
        else:
            text = sys.stdin.read().rstrip("\n") if text == "-" else text
            messages.set_message(paywall, event, text, actor=actor)
        return Answer(
            text=f"On {event}, {paywall.name} says: {text}",
            facts={"paywall": paywall.public_id, "event": event, "text": text},
            warnings=_warnings(event, text),
        )


def _warnings(event: str, text: str) -> tuple[str, ...]:
    if event not in messages.WITHOUT_LINK and not messages.has_link(text):
        return ("the text has no {{url}}: people will not find out where to go.",)
    return ()
