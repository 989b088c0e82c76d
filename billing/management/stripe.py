"""What the commands about a paywall's Stripe key share."""

from typing import Any

from django.core.management.base import CommandParser

from billing.stripe import connect
from billing.stripe.models import StripeAccount
from config.kit import clock
from config.kit.commands import ActionCommand, Answer
from config.kit.errors import InvalidRequestError
from paywalls.lookup import find_paywall


class StripeCommand(ActionCommand):
    """A command on a paywall's active Stripe key."""

    positionals = ("paywall",)
    is_atomic = False

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("paywall", help="pw_… id or name")


def active(options: dict[str, Any]) -> StripeAccount:
    """The paywall's active key.

    Raises: InvalidRequestError.
    """
    paywall = find_paywall(options["paywall"])
    rows = StripeAccount.objects.select_related("paywall")
    account = rows.filter(paywall=paywall, is_active=True).first()
    if account is None:
        raise InvalidRequestError(
            "No Stripe key is connected: ./run manage connect_stripe.", param="paywall"
        )
    return account


def account_answer(account: StripeAccount, done: str) -> Answer:
    """The account, with what was found about it."""
    found = connect.findings(account)
    mode = "live" if account.livemode else "test"
    key = f"{account.key_prefix}_…{account.key_last_four}"
    lines = [f"{'ok' if each.ok else 'NO'}  {each.name} ({each.need})" for each in found]
    return Answer(
        text="\n".join([f"{key} {done} ({mode}).", *lines]),
        facts={
            "account": account.public_id,
            "key": key,
            "livemode": account.livemode,
            "endpoint": account.endpoint_id,
            "trouble": account.trouble,
            "checked_at": clock.wire(account.checked_at) if account.checked_at else None,
            "checks": [each.as_dict() for each in found],
        },
        warnings=tuple(f"{each.name}: {each.message}" for each in found if not each.ok),
    )
