"""`connect_platform_stripe`: the operator's own Stripe key."""

from typing import Any

from django.core.management.base import CommandParser

from billing.management.commands.connect_stripe import read_key
from billing.stripe import platform
from config.kit.commands import ActionCommand, Answer


class Command(ActionCommand):
    """Saves the operator's key, or another one in its place."""

    help = (
        "Save the operator's own Stripe key, with which people fill their wallets and from which "
        "earnings are paid, and make its "
        "webhooks. One key for live money, one for test money. The key is read from the "
        "environment (STRIPE_KEY) or asked for."
    )
    is_atomic = False

    def add_options(self, parser: CommandParser) -> None:
        """None of its own."""

    def act(self, _options: dict[str, Any], actor: str) -> Answer:
        saved = platform.connect(read_key(), actor=actor)
        mode = "live" if saved.livemode else "test"
        return Answer(
            text=f"{saved} is connected ({mode}).",
            facts={
                "key": f"{saved.key_prefix}_…{saved.key_last_four}",
                "livemode": saved.livemode,
                "endpoints": [saved.endpoint_id, saved.connect_endpoint_id],
            },
        )
