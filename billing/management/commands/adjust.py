"""`adjust`: correct an end user's balance."""

from typing import Any

from billing import movements
from billing.management.money import MoneyCommand, movement_answer, read_reason, read_wallet
from config.kit.commands import Answer, read_amount


class Command(MoneyCommand):
    """Corrects a wallet up or down."""

    help = (
        "Correct an end user's balance by an amount: 5.00 up, -5.00 down. A balance never falls "
        "below its floor: what is not there to take is owed, and later credits pay it first."
    )

    def act(self, options: dict[str, Any], actor: str) -> Answer:
        paywall, user, livemode = read_wallet(options)
        text = options["amount"]
        nanos = read_amount(text.removeprefix("-"), param="amount")
        signed = -nanos if text.startswith("-") else nanos
        why = read_reason(options, actor)
        booked = movements.adjust(paywall, user, signed, why, livemode=livemode)
        return movement_answer(paywall, user, booked, f"Adjusted by {text}")
