"""All guards. A new one gets an entry in the file of its side, with the test that needs it."""

from typing import Final

from tests.mutation.edge import EDGE
from tests.mutation.guard import Guard
from tests.mutation.ledger import LEDGER
from tests.mutation.money import MONEY
from tests.mutation.payments import PAYMENTS
from tests.mutation.payouts import PAYOUTS
from tests.mutation.people import PEOPLE
from tests.mutation.refills import REFILLS
from tests.mutation.shared import SHARED

GUARDS: Final[tuple[Guard, ...]] = (
    *LEDGER,
    *MONEY,
    *PAYMENTS,
    *PAYOUTS,
    *PEOPLE,
    *REFILLS,
    *SHARED,
    *EDGE,
)
