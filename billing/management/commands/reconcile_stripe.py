"""`reconcile_stripe`: compare with Stripe now, not within the hour."""

from collections import Counter
from typing import Any

from django.core.management.base import CommandParser

from billing.stripe import reconcile
from billing.stripe.models import StripeAccount
from config.kit.commands import ActionCommand, Answer
from paywalls.lookup import find_paywall


class Command(ActionCommand):
    """Brings a paywall's orders, refunds and disputes to Stripe's truth."""

    help = (
        "Ask Stripe for a paywall's payments, refunds and disputes, and book what is missing. "
        "It happens by itself every hour; nothing is booked twice."
    )
    positionals = ("paywall",)
    is_atomic = False

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("paywall", help="pw_… id or name")

    def act(self, options: dict[str, Any], _actor: str) -> Answer:
        paywall = find_paywall(options["paywall"])
        seen: Counter[str] = Counter()
        for account in StripeAccount.objects.filter(paywall=paywall):
            seen.update(reconcile.reconcile(account))
        text = ", ".join(f"{count} {what}" for what, count in seen.items())
        return Answer(text=f"Looked at {text or 'nothing: no key is saved'}.", facts=dict(seen))
