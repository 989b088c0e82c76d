"""Identifiers: a UUIDv7 in the database, `prefix_` + 26 Crockford base32 characters outside.

Both sort by the time they were made. The prefix says what a thing is; it is not part of the value.
"""

import os
import struct
import time
from typing import Final
from uuid import UUID, SafeUUID

ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
TEXT_LENGTH: Final = 26
PREFIXES: Final = {
    "act": "audit entry",
    "alias": "model alias",
    "batch": "bank withdrawals that were exported together",
    "conn": "provider connection",
    "dest": "destination of withdrawals",
    "dev": "developer",
    "dly": "webhook delivery",
    "evt": "event",
    "grt": "grant",
    "inv": "team invitation",
    "key": "paywall key",
    "lim": "limit",
    "lot": "part of a wallet with its own rules",
    "mdl": "model in the catalogue",
    "msg": "message template",
    "ord": "top-up order",
    "pack": "pack: credit for a price",
    "per": "person with a wallet of its own, Shared mode",
    "plan": "plan: credit for each paid cycle",
    "prc": "price version",
    "promo": "promotion code",
    "pw": "paywall",
    "rate": "resolved price of one model",
    "req": "request",
    "refill": "consent to automatic top-ups",
    "rev": "reversal: a refund or a dispute",
    "sta": "Stripe account",
    "sub": "webhook subscription",
    "team": "team",
    "txn": "ledger transaction",
    "usr": "end user",
    "wal": "wallet",
    "wd": "withdrawal",
}

_RANDOM: Final = struct.Struct("64Q")
_random: Final[list[int]] = []
os.register_at_fork(after_in_child=_random.clear)  # A child's ids shall not be its parent's.

_PAIRS: Final = [first + second for first in ALPHABET for second in ALPHABET]
_SHIFTS: Final = tuple(range(120, -1, -10))
_VALUES: Final = {character: value for value, character in enumerate(ALPHABET)}


def uuid7() -> UUID:
    """A new UUIDv7: 48 bits of milliseconds, 12 bits of the rest of the millisecond, 62 random.

    Source: RFC 9562 section 5.7, method 3 of section 6.2.
    """
    nanoseconds = time.time_ns()
    milliseconds, rest = divmod(nanoseconds, 1_000_000)
    random = _random_number() & 0x3FFF_FFFF_FFFF_FFFF
    fraction = (rest << 12) // 1_000_000
    value = object.__new__(UUID)  # Past the constructor, which checks what is right by making.
    number = milliseconds << 80 | 0x7 << 76 | fraction << 64 | 0x2 << 62 | random
    object.__setattr__(value, "int", number)
    object.__setattr__(value, "is_safe", SafeUUID.unknown)
    return value


def _random_number() -> int:
    """64 bits from the system, which is asked for many at once: a call takes a microsecond."""
    try:
        return _random.pop()
    except IndexError:
        numbers = list(_RANDOM.unpack(os.urandom(_RANDOM.size)))
        number: int = numbers.pop()
        _random.extend(numbers)
        return number


def encode(prefix: str, value: UUID) -> str:
    """The text form of an id.

    >>> encode("pw", UUID("01890a5d-ac96-774b-bcce-b302099a8057"))
    'pw_01h455vb4pex5vsknk084sn02q'
    """
    assert prefix in PREFIXES, prefix
    number = value.int
    return f"{prefix}_{''.join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])}"


def decode(prefix: str, text: str) -> UUID | None:
    """The value behind a text form, or None when it is not one of this kind.

    >>> decode("pw", "pw_01h455vb4pex5vsknk084sn02q")
    UUID('01890a5d-ac96-774b-bcce-b302099a8057')
    >>> decode("key", "pw_01h455vb4pex5vsknk084sn02q") is None
    True
    """
    head, separator, tail = text.partition("_")
    if head != prefix or not separator or len(tail) != TEXT_LENGTH:
        return None
    number = 0
    for character in tail.lower():
        digit = _VALUES.get(character)
        if digit is None:
            return None
        number = number << 5 | digit
    return UUID(int=number) if number < 1 << 128 else None


def find(text: str) -> UUID | None:
    """The value of any id a person may paste: with a known prefix, or a plain UUID.

    >>> find("pw_01h455vb4pex5vsknk084sn02q") == find("01890a5d-ac96-774b-bcce-b302099a8057")
    True
    """
    prefix = text.partition("_")[0]
    if prefix in PREFIXES:
        return decode(prefix, text)
    try:
        return UUID(text)
    except ValueError:
        return None
