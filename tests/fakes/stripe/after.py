"""What some test cards bring after the payment: disputes and warnings."""

from tests.fakes.stripe import disputes
from tests.fakes.stripe.routes import Desk
from tests.fakes.stripe.world import Thing


def paid(desk: Desk, charge: Thing, behaviour: str) -> None:
    if behaviour == "dispute":
        disputes.withdraw(desk, disputes.open_on(desk, charge))
    elif behaviour == "inquiry":
        disputes.open_on(desk, charge, is_inquiry=True)
    elif behaviour == "fraud_warning":
        disputes.warn(desk, charge)
