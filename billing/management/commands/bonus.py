"""`bonus`: give an end user credit."""

from typing import Any

from django.core.management.base import CommandParser

from billing import movements
from billing.management.money import MoneyCommand, movement_answer, read_reason, read_wallet
from config.kit.commands import Answer, read_amount, read_moment


class Command(MoneyCommand):
    """Gives credit away."""

    help = (
        "Give an end user credit: booked against the paywall's promo account, and spent before "
        "money that was paid. With --ref the same bonus is given once."
    )

    def add_options(self, parser: CommandParser) -> None:
        super().add_options(parser)
        parser.add_argument("--expires", default="", help="90d, 36h or 2030-01-31T00:00:00Z")

    def act(self, options: dict[str, Any], actor: str) -> Answer:
        paywall, user, livemode = read_wallet(options)
        amount, expires = options["amount"], options["expires"]
        booked = movements.bonus(
            paywall,
            user,
            read_amount(amount, param="amount"),
            read_reason(options, actor),
            livemode=livemode,
            expires_at=read_moment(expires, param="expires") if expires else None,
        )
        return movement_answer(paywall, user, booked, f"Gave {amount}")
