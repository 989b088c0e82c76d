"""`bonus`: give an end user credit."""

from billing import movements
from billing.management.money import CreditCommand


class Command(CreditCommand):
    """Gives credit away."""

    help = (
        "Give an end user credit: booked against the paywall's promo account, and spent before "
        "money that was paid. With --ref the same bonus is given once."
    )

    move = movements.bonus
    done = "Gave"
