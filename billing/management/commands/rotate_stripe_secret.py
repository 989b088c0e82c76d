"""`rotate_stripe_secret`: a new secret for Stripe's deliveries."""

from typing import Any

from billing.management.stripe import StripeCommand, account_answer, active
from billing.stripe import connect
from config.kit.commands import Answer


class Command(StripeCommand):
    """Replaces a paywall's webhook at Stripe."""

    help = (
        "Make a paywall's webhook at Stripe anew, with a new secret. Deliveries that were signed "
        "with the old one are accepted for another day."
    )

    def act(self, options: dict[str, Any], actor: str) -> Answer:
        account = connect.rotate_secret(active(options), actor=actor)
        return account_answer(account, "has a new webhook secret")
