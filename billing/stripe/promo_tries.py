"""How often codes may be tried that give nothing: by one user, and on one paywall.

Each subject has so many tries, which come back one by one in an hour. A try is taken before the
code is looked at, in one statement, so that many at once are counted too, and given back when the
code is good. PostgreSQL counts, as for all limits: where it cannot, no code gives anything either.
"""

from typing import ClassVar, Final
from uuid import UUID

from django.db import connection

from config.kit.errors import PaywallsError
from config.kit.limits import PROMO_TRIES_PAYWALL_MAX, PROMO_TRIES_USER_MAX
from paywalls.models import EndUser

HOUR_S: Final = 3_600

# One more than what is left answers no row.
TAKE: Final = """
    INSERT INTO billing_promo_tries AS t (subject, spent_until)
    VALUES (%(subject)s, clock_timestamp() + %(each)s * interval '1 second')
    ON CONFLICT (subject) DO UPDATE SET
        spent_until = greatest(t.spent_until, clock_timestamp()) + %(each)s * interval '1 second'
    WHERE t.spent_until + %(each)s * interval '1 second' <= clock_timestamp() + interval '1 hour'
    RETURNING 1
"""
GIVE_BACK: Final = """
    UPDATE billing_promo_tries SET spent_until = spent_until - %(each)s * interval '1 second'
    WHERE subject = %(subject)s
"""
WAIT: Final = """
    SELECT ceil(extract(epoch FROM
        spent_until + %(each)s * interval '1 second' - clock_timestamp() - interval '1 hour'))::int
    FROM billing_promo_tries WHERE subject = %(subject)s
"""
FORGET: Final = "DELETE FROM billing_promo_tries WHERE spent_until < clock_timestamp()"


class PromoTriesError(PaywallsError):
    """Too many codes that gave nothing."""

    status: ClassVar[int] = 429
    code: ClassVar[str] = "promo_tries"
    kind: ClassVar[str] = "rate_limit_error"

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(
            f"Too many codes were tried that give nothing. Try again in {retry_after_s} s.",
            param="code",
            retry_after_s=retry_after_s,
        )


def take(user: EndUser) -> None:
    """Counts a try, for the user and the paywall.

    Raises: PromoTriesError when there is none left.
    """
    taken: list[tuple[UUID, int]] = []
    for subject, most in _subjects(user):
        if not _run(TAKE, subject, most):
            _return(taken)
            raise PromoTriesError(max(_run(WAIT, subject, most) or 1, 1))
        taken.append((subject, most))


def give_back(user: EndUser) -> None:
    """The code was good."""
    _return(_subjects(user))


def forget_old() -> int:
    """Deletes what says nothing any more; returns how many."""
    with connection.cursor() as cursor:
        cursor.execute(FORGET)
        return int(cursor.rowcount)


def _subjects(user: EndUser) -> list[tuple[UUID, int]]:
    return [(user.pk, PROMO_TRIES_USER_MAX), (user.paywall_id, PROMO_TRIES_PAYWALL_MAX)]


def _return(taken: list[tuple[UUID, int]]) -> None:
    with connection.cursor() as cursor:
        for subject, most in taken:
            cursor.execute(GIVE_BACK, _named(subject, most))


def _run(query: str, subject: UUID, most: int) -> int | None:
    """The number in its one row; None when there is no row."""
    with connection.cursor() as cursor:
        cursor.execute(query, _named(subject, most))
        found = cursor.fetchone()
        return int(found[0]) if found else None


def _named(subject: UUID, most: int) -> dict[str, UUID | float]:
    return {"subject": subject, "each": HOUR_S / most}
