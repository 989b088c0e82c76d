"""`disconnect_stripe`: no new payments through Stripe."""

from typing import Any

from billing.management.stripe import StripeCommand, account_answer, active
from billing.stripe import connect
from config.kit.commands import Answer


class Command(StripeCommand):
    """Takes a paywall's key out of use."""

    help = (
        "Let no more payments be made with a paywall's Stripe key. Refunds and disputes of those "
        "that were made are still followed, so the key stays, sealed; revoke it at Stripe to end "
        "that too."
    )
    is_atomic = True

    def act(self, options: dict[str, Any], actor: str) -> Answer:
        account = active(options)
        connect.disconnect(account, actor=actor)
        answer = account_answer(account, "takes no more payments")
        return Answer(text=answer.text.partition("\n")[0], facts=answer.facts)
