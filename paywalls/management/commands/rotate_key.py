"""`rotate_key`: a new key in the place of an old one."""

from typing import Any

from django.core.management.base import CommandParser

from config.kit import clock
from config.kit.commands import ActionCommand, Answer, read_duration
from paywalls import keys, lookup


class Command(ActionCommand):
    """Replaces a key."""

    help = (
        "Make a key that may do the same as an old one, and end the old one after an overlap. "
        "The new key is shown once."
    )
    positionals = ("key",)

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("key", help="key_… id, or its name or last four characters")
        parser.add_argument(
            "--overlap", default="24h", help="how long the old key still works, such as 2h (24h)"
        )

    def act(self, options: dict[str, Any], actor: str) -> Answer:
        old = lookup.find_key(options["key"])
        overlap = read_duration(options["overlap"], param="overlap")
        new, text = keys.rotate(old, overlap=overlap, actor=actor)
        old.refresh_from_db()
        assert old.expires_at, "a replaced key ends"
        return Answer(
            text=f"New key for {new.paywall.name}, shown only now: {text}\n"
            f"The old one (…{old.last_four}) works until {clock.wire(old.expires_at)}.",
            facts=keys.facts(new) | {"key": text, "replaces": keys.facts(old)},
        )
