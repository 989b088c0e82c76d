"""`reseal`: after a new encryption key, so that the old one can go."""

from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from config.kit.commands import ActionCommand, Answer
from paywalls.models import ApiKey
from providers import connections


class Command(ActionCommand):
    """Puts secrets under the newest encryption key."""

    help = (
        "Put every stored provider key under the first of ENCRYPTION_KEYS, and tell how many"
        " paywall keys still need an older one of KEY_PEPPERS."
    )

    def add_options(self, parser: CommandParser) -> None:
        """None of its own."""

    def act(self, _options: dict[str, Any], _actor: str) -> Answer:
        count, lost = connections.reseal()
        current = next(reversed(settings.KEY_PEPPERS))
        waiting = ApiKey.objects.filter(revoked_at=None).exclude(pepper=current).count()
        return Answer(
            text=f"Sealed {count} provider keys anew."
            f" {waiting} paywall keys were not used since the current pepper came.",
            facts={"resealed": count, "keys_with_older_peppers": waiting},
            warnings=tuple(f"{row} has a key that does not open: enter it again." for row in lost),
        )
