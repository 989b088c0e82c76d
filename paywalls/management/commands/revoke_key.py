"""`revoke_key`: a key that leaked or is no longer needed."""

from typing import Any

from django.core.management.base import CommandParser

from config.kit.commands import ActionCommand, Answer
from paywalls import keys, lookup


class Command(ActionCommand):
    """Ends a key."""

    help = "End a key for good, within a second everywhere. Running requests end as usual."
    positionals = ("key",)

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("key", help="key_… id, or its name or last four characters")

    def act(self, options: dict[str, Any], actor: str) -> Answer:
        key = lookup.find_key(options["key"])
        keys.revoke(key, actor=actor)
        return Answer(
            text=f"Revoked {key.name} (…{key.last_four}, {key.public_id}) of {key.paywall.name}.",
            facts=keys.facts(key),
        )
