"""What somebody wants to agree to, and the words in which they do. Pure. Amounts in nanos."""

from dataclasses import dataclass
from typing import Final

from billing.stripe import amounts
from config.kit.errors import InvalidRequestError
from config.kit.money import AMOUNT_NANOS_MAX, parse_nanos

WORDING: Final = 1
"""Raised with every change of WORDS: each agreement keeps what its person read."""

WORDS: Final = (
    "I allow {name} to charge my saved card {amount} whenever my balance is below {below}, without"
    " asking me again, and at most {most} in a calendar month. This goes on until I switch it off,"
    " which I can do on this page at any time."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Below what, by how much, and the most of a calendar month."""

    below_nanos: int
    amount_nanos: int
    month_most_nanos: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What one top-up may be, and what is suggested first."""

    currency: str
    least_nanos: int
    most_nanos: int
    first_nanos: int

    def shown(self, nanos: int) -> str:
        return amounts.shown(nanos, self.currency)


def read(bounds: Bounds, *, below: str, amount: str, most: str) -> Wish:
    """A wish as people type it.

    Raises: InvalidRequestError, `param` naming what to correct.
    """
    wish = Wish(
        below_nanos=_read(below, param="below"),
        amount_nanos=_read(amount, param="amount"),
        month_most_nanos=_read(most, param="most"),
    )
    low, high = bounds.shown(bounds.least_nanos), bounds.shown(bounds.most_nanos)
    if not bounds.least_nanos <= wish.amount_nanos <= bounds.most_nanos:
        raise InvalidRequestError(f"One top-up is {low} to {high}.", param="amount")
    amounts.to_minor(wish.amount_nanos, bounds.currency)
    if not 0 < wish.below_nanos <= bounds.most_nanos:
        raise InvalidRequestError(f"The balance to act at is at most {high}.", param="below")
    if not wish.amount_nanos <= wish.month_most_nanos <= AMOUNT_NANOS_MAX:
        raise InvalidRequestError("The most of a month is at least one top-up.", param="most")
    return wish


def words_of(wish: Wish, *, name: str, currency: str) -> str:
    """The sentence that stands on the page, and is kept.

    >>> words_of(Wish(below_nanos=5 * 10**9, amount_nanos=10**10, month_most_nanos=5 * 10**10),
    ...          name="Storyteller", currency="USD")[:76]
    'I allow Storyteller to charge my saved card 10.00 USD whenever my balance is'
    """
    return WORDS.format(
        name=name,
        amount=amounts.shown(wish.amount_nanos, currency),
        below=amounts.shown(wish.below_nanos, currency),
        most=amounts.shown(wish.month_most_nanos, currency),
    )


def _read(text: str, *, param: str) -> int:
    # People write a comma as well.
    nanos = parse_nanos(text.strip().replace(",", "."))
    if nanos is None:
        raise InvalidRequestError("Write an amount such as 12.50.", param=param)
    return nanos
