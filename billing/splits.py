"""How a Shared charge is divided. Pure: the twin of `billing_parts`, which divides what is booked.

Receipts, and who re-rates charges, divide again by this one; a test compares the two.
"""

from dataclasses import dataclass
from typing import Final

MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """A charge in three, in nanos, which add up to it: the provider's, the platform's, the
    developer's.
    """

    cost: int
    fee: int
    earned: int


def divide(charged_nanos: int, *, cost_nanos: int, fee_ppm: int) -> Parts:
    """The provider's cost first, then the fee out of what is left, and the rest is the developer's.

    cost_nanos: what the operator owes the provider; 0 where the developer pays it. The fee is a
    share of the charge, rounded down. The developer bears a cost above the charge: only then is the
    last part below 0.

    >>> divide(1_000, cost_nanos=600, fee_ppm=50_000)
    Parts(cost=600, fee=50, earned=350)
    """
    assert charged_nanos >= 0, charged_nanos
    assert cost_nanos >= 0, cost_nanos
    assert 0 <= fee_ppm <= MILLION, fee_ppm
    fee = max(min(charged_nanos * fee_ppm // MILLION, charged_nanos - cost_nanos), 0)
    return Parts(cost=cost_nanos, fee=fee, earned=charged_nanos - cost_nanos - fee)
