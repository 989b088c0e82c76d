"""PURE: Stripe's minor units and our nanos.

Stripe counts in the smallest unit of a currency: cents, whole yen, thousandths of a dinar; it
refuses three-decimal amounts that do not end in 0, and asks at least some amount of each currency.
Source: docs.stripe.com/currencies (zero-decimal, three-decimal, minimum charge amounts).
"""

from collections.abc import Iterable
from typing import Final

from config.kit.errors import InvalidRequestError
from config.kit.money import NANOS, ceil_div, format_nanos

ZERO_DECIMAL: Final = frozenset(
    {"BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA"}
    | {"PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF"}
)
THREE_DECIMAL: Final = frozenset({"BHD", "JOD", "KWD", "OMR", "TND"})
LEAST_MINOR: Final = {
    **dict.fromkeys(("USD", "EUR", "AUD", "BRL", "CAD", "CHF", "INR", "NZD", "SGD"), 50),
    "AED": 200,
    "BGN": 100,
    "CZK": 1500,
    "DKK": 250,
    "GBP": 30,
    "HKD": 400,
    "HUF": 17500,
    "JPY": 50,
    "MXN": 1000,
    "MYR": 200,
    "NOK": 300,
    "PLN": 200,
    "RON": 200,
    "SEK": 300,
    "THB": 1000,
}
"""What Stripe charges at least, for the currencies that it names; others have no row."""

FIRST_UNITS: Final = (10, 25, 50)
ABOVE_LEAST: Final = 5
"""The first suggestion is at least so many times what Stripe charges at least."""

MOST_TIMES: Final = 100
"""The most of one payment is usually so many times the first suggestion."""

MOST_MINOR: Final = 99_999_999
"""Eight digits are the most that Stripe takes in most currencies."""


def nanos_of_minor(currency: str) -> int:
    """How many nanos one minor unit is: 10⁷ for cents, 10⁹ for yen, 10⁶ for thousandths."""
    if currency in ZERO_DECIMAL:
        return NANOS
    return NANOS // (1_000 if currency in THREE_DECIMAL else 100)


def to_minor(nanos: int, currency: str, *, least: int | None = None) -> int:
    """What Stripe is asked for; `least`, if a payment's is not meant: a refund has none.

    Raises: InvalidRequestError for an amount that this currency cannot say, or Stripe not take.
    """
    minor, rest = divmod(nanos, step_nanos(currency))
    minor *= step_nanos(currency) // nanos_of_minor(currency)
    if rest:
        step = format_nanos(step_nanos(currency))
        raise InvalidRequestError(
            f"An amount in {currency} is a multiple of {step}.", param="amount"
        )
    least = least or LEAST_MINOR.get(currency, 1)
    if not least <= minor <= MOST_MINOR:
        low, high = (format_nanos(n * nanos_of_minor(currency)) for n in (least, MOST_MINOR))
        raise InvalidRequestError(
            f"Stripe takes amounts from {low} to {high} {currency}.", param="amount"
        )
    return minor


def step_nanos(currency: str) -> int:
    """The smallest step between two amounts that Stripe takes."""
    return nanos_of_minor(currency) * (10 if currency in THREE_DECIMAL else 1)


def to_nanos(minor: int, currency: str) -> int:
    """What an amount of Stripe's is worth; exact."""
    return minor * nanos_of_minor(currency)


def share(credit_nanos: int, part_minor: int, whole_minor: int) -> int:
    """The credit that belongs to a part of a payment, rounded up: all of it for the whole.

    >>> share(10, 1, 3), share(10, 3, 3), share(10, 0, 0)
    (4, 10, 0)
    """
    assert 0 <= part_minor <= whole_minor, (part_minor, whole_minor)
    return ceil_div(credit_nanos * part_minor, whole_minor) if part_minor else 0


def shares(
    credit_nanos: int, parts_minor: Iterable[int], whole_minor: int, *, spare_nanos: int = 0
) -> list[int]:
    """What each of several parts, in their order, takes back of a credit. spare_nanos: of the
    credit, what was not given yet; it goes first, and there is nothing of it to take back.

    Each takes what the share of their sum grows by, so together they never pass the credit, and
    meet it when they meet the whole. What passes the whole (a payment that was refunded and
    disputed as well) takes nothing.

    >>> shares(10, [1, 1, 1], 3), shares(10, [2, 2], 3), shares(10, [0, 3], 3)
    ([4, 3, 3], [7, 3], [0, 10])
    >>> shares(10, [1, 1, 1], 3, spare_nanos=5)
    [0, 2, 3]
    """
    taken, before, found = 0, 0, []
    for part in parts_minor:
        taken = min(taken + part, whole_minor)
        upto = max(share(credit_nanos, taken, whole_minor) - spare_nanos, 0)
        found.append(upto - before)
        before = upto
    return found


def suggestions(currency: str) -> tuple[int, ...]:
    """Amounts to begin with where nobody chose any: 10, 25, 50 units, or as many tens of them as a
    currency of small units needs (1,000 yen). Nanos.
    """
    floor = LEAST_MINOR.get(currency, 50) * nanos_of_minor(currency) * ABOVE_LEAST
    scale = 1
    while FIRST_UNITS[0] * scale * NANOS < floor:
        scale *= 10
    return tuple(units * scale * NANOS for units in FIRST_UNITS)


def usual_most(currency: str) -> int:
    """The most of one payment where nobody chose any. Nanos."""
    return suggestions(currency)[0] * MOST_TIMES


def shown(nanos: int, currency: str) -> str:
    """An amount for people: at least the decimals of its currency, and its code.

    >>> shown(10_500_000_000, "USD"), shown(1_000 * NANOS, "JPY"), shown(1_000_000, "USD")
    ('10.50 USD', '1000 JPY', '0.001 USD')
    """
    decimals = 0 if currency in ZERO_DECIMAL else 3 if currency in THREE_DECIMAL else 2
    whole, _, rest = format_nanos(nanos).partition(".")
    rest = rest.ljust(decimals, "0")
    return f"{whole}.{rest} {currency}" if rest else f"{whole} {currency}"
