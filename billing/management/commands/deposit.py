"""`deposit`: credit an end user with money that was paid elsewhere."""

from billing import movements
from billing.management.money import CreditCommand


class Command(CreditCommand):
    """Credits a wallet."""

    help = (
        "Credit an end user's wallet with money that was paid elsewhere; a user not seen before is "
        "made. With --ref the same deposit happens once, however often it is repeated."
    )

    move = movements.deposit
    done = "Deposited"
