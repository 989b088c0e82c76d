"""Money in whole nanos (10⁻⁹ of the currency's unit): reading, writing, dividing. No floats."""

import re
from typing import Final

NANOS: Final = 1_000_000_000
MICROS_PER_NANO_DIVISOR: Final = 1_000
AMOUNT_NANOS_MAX: Final = 10**18
"""The most that one amount may be (I22): a billion units; far from the end of a bigint."""

_AMOUNT: Final = re.compile(r"(0|[1-9][0-9]{0,9})(?:\.([0-9]{1,9}))?", re.ASCII)


def parse_nanos(text: str) -> int | None:
    """Nanos of a decimal string with at most nine decimals, or None when it is not one.

    No sign, exponent, blank or other digits than 0 to 9; at most AMOUNT_NANOS_MAX.

    >>> parse_nanos("0.001"), parse_nanos("12"), parse_nanos("1e3"), parse_nanos("-1")
    (1000000, 12000000000, None, None)
    """
    match = _AMOUNT.fullmatch(text)
    if match is None:
        return None
    whole, fraction = match.groups()
    nanos = int(whole) * NANOS + int((fraction or "").ljust(9, "0"))
    return nanos if nanos <= AMOUNT_NANOS_MAX else None


def format_nanos(nanos: int) -> str:
    """The exact decimal string, without trailing zeros.

    >>> format_nanos(1_500_000_000), format_nanos(-1), format_nanos(0)
    ('1.5', '-0.000000001', '0')
    """
    whole, fraction = divmod(abs(nanos), NANOS)
    text = f"{whole}.{fraction:09d}".rstrip("0").rstrip(".")
    return f"-{text}" if nanos < 0 else text


def format_micros(nanos: int) -> str:
    """With six decimals, rounded down: what people see.

    >>> format_micros(12_345_678_999)
    '12.345678'
    """
    micros = nanos // MICROS_PER_NANO_DIVISOR
    whole, fraction = divmod(abs(micros), 1_000_000)
    return f"{'-' if micros < 0 else ''}{whole}.{fraction:06d}"


def micros(nanos: int) -> int:
    """Whole 10⁻⁶ units, rounded down."""
    return nanos // MICROS_PER_NANO_DIVISOR


def ceil_div(dividend: int, divisor: int) -> int:
    """The quotient rounded up.

    >>> ceil_div(7, 2), ceil_div(-7, 2), ceil_div(6, 2)
    (4, -3, 3)
    """
    assert divisor > 0, divisor
    return -(-dividend // divisor)
