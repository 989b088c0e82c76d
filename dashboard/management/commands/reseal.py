"""`reseal`: after a new encryption key, so that the old one can go."""

from typing import Any, Final

from django.conf import settings
from django.core.management.base import CommandParser

from billing import sealed
from config.kit.commands import ActionCommand, Answer
from config.kit.sealed import reseal
from paywalls.models import ApiKey
from providers import connections

SEALED: Final = (*connections.SEALED, *sealed.SEALED)


class Command(ActionCommand):
    """Puts secrets under the newest encryption key."""

    help = (
        "Put every stored secret (keys of providers and of Stripe, webhooks' secrets) under the"
        " first of ENCRYPTION_KEYS, and tell how many paywall keys still need an older one of"
        " KEY_PEPPERS."
    )

    def add_options(self, parser: CommandParser) -> None:
        """None of its own."""

    def act(self, _options: dict[str, Any], _actor: str) -> Answer:
        outcomes = [(column, *reseal(column, settings.ENCRYPTION_KEYS)) for column in SEALED]
        count = sum(resealed for _, resealed, _ in outcomes)
        current = next(reversed(settings.KEY_PEPPERS))
        waiting = ApiKey.objects.filter(revoked_at=None).exclude(pepper=current).count()
        return Answer(
            text=f"Sealed {count} secrets anew."
            f" {waiting} paywall keys were not used since the current pepper came.",
            facts={"resealed": count, "keys_with_older_peppers": waiting},
            warnings=tuple(
                f"{row} has a {column.name.removeprefix('sealed_').replace('_', ' ')} that does not"
                " open: enter it again."
                for column, _, lost in outcomes
                for row in lost
            ),
        )
