"""`charge`: charge an end user by hand."""

from typing import Any

from billing import movements
from billing.management.money import MoneyCommand, movement_answer, read_reason, read_wallet
from config.kit.commands import Answer, read_amount


class Command(MoneyCommand):
    """Charges a wallet, all or nothing."""

    help = (
        "Charge an end user's wallet by hand, all or nothing and outside any limit. With --ref the "
        "same charge happens once, however often it is repeated."
    )

    def act(self, options: dict[str, Any], actor: str) -> Answer:
        paywall, user, livemode = read_wallet(options)
        amount = options["amount"]
        booked = movements.charge(
            paywall,
            user,
            read_amount(amount, param="amount"),
            read_reason(options, actor),
            livemode=livemode,
        )
        return movement_answer(paywall, user, booked, f"Charged {amount}")
