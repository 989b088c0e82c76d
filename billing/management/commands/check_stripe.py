"""`check_stripe`: what a Stripe key lacks."""

from typing import Any

from billing.management.stripe import StripeCommand, account_answer, active
from billing.stripe import connect
from config.kit.commands import Answer


class Command(StripeCommand):
    """Examines a key and repairs its webhook."""

    help = (
        "Try every permission that a paywall's Stripe key needs, by calls that change nothing, and "
        "repair its webhook. It happens by itself every night."
    )

    def act(self, options: dict[str, Any], _actor: str) -> Answer:
        return account_answer(connect.check(active(options)), "was examined")
