"""How the pages of people write amounts, periods and grants, and read the terms of one."""

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final, cast

from billing.stripe import amounts
from config.kit import clock
from config.kit.errors import InvalidRequestError
from config.kit.money import format_nanos, micros, parse_nanos
from paywalls.grants import GrantTerms, Period
from paywalls.models import Grant

NANOS_PER_MICRO: Final = 1_000
PERCENT_NANOS_PER_PPM: Final = 100_000
MINUS: Final = "\N{MINUS SIGN}"
PERIODS: Final = {"day": "a day", "week": "a week", "month": "a month", "total": "in all"}
CHOICES: Final = {
    "day": "every day",
    "week": "every week",
    "month": "every month",
    "total": "once, in all",
}
"""The same as a form offers them."""

LABELS: Final = {"cap": "At most", "most": "For one request at most", "ends": "Last day"}
THIS: Final = {"day": "today", "week": "this week", "month": "this month", "total": "so far"}
AHEAD_MAX: Final = dt.timedelta(days=3_660)
FIELDS: Final = {
    "cap": "cap",
    "cap_period": "period",
    "request_most": "most",
    "ends_at": "ends",
}
"""Fields of the form by those of the terms."""

type Sent = Mapping[str, Any]


def money(nanos: int, currency: str) -> str:
    """An amount to six decimals, rounded down, with its currency."""
    return amounts.shown(micros(nanos) * NANOS_PER_MICRO, currency)


def signed(nanos: int, currency: str) -> str:
    """A movement, exact, without its currency; below 0 with a minus that reads as one.

    >>> signed(5_000_000_000, "USD"), signed(-1_500_000, "USD") == MINUS + "0.0015"
    ('5.00', True)
    """
    text = amounts.shown(abs(nanos), currency).removesuffix(f" {currency}")
    return f"{MINUS}{text}" if nanos < 0 else text


def terms_of(sent: Sent) -> GrantTerms:
    """The terms that a form was sent with.

    Raises: InvalidRequestError, whose `param` is the field of the form.
    """
    period = str(sent.get("period", ""))
    if period not in PERIODS:
        raise InvalidRequestError("How often: choose one of the four.", param="period")
    cap = _amount(sent, "cap")
    if cap is None:
        raise _wrong("cap", "write an amount above 0, such as 5.00.")
    return GrantTerms(
        cap_nanos=cap,
        cap_period=cast("Period", period),
        request_most_nanos=_amount(sent, "most"),
        ends_at=_end(str(sent.get("ends", "")).strip()),
    )


def _amount(sent: Sent, field: str) -> int | None:
    """The nanos of a field, None where it was left empty."""
    # People write a comma as well.
    text = str(sent.get(field, "")).strip().replace(",", ".")
    if not text:
        return None
    nanos = parse_nanos(text)
    if not nanos:
        raise _wrong(field, "write an amount above 0, such as 5.00.")
    return nanos


def _wrong(field: str, fix: str) -> InvalidRequestError:
    """The field as its label calls it, and how to put it right."""
    return InvalidRequestError(f"{LABELS[field]}: {fix}", param=field)


def _end(text: str) -> dt.datetime | None:
    """The end of the day that was chosen."""
    if not text:
        return None
    try:
        day = dt.date.fromisoformat(text)
    except ValueError:
        raise _wrong("ends", "write the day as 2027-01-31.") from None
    now = clock.now()
    if not now.date() <= day <= (now + AHEAD_MAX).date():
        raise _wrong("ends", "choose a day from today on, within ten years.")
    return dt.datetime.combine(day + dt.timedelta(days=1), dt.time(), dt.UTC)


def form_of(terms: GrantTerms) -> dict[str, str]:
    """The fields of a form that stands for these terms."""
    return {
        "cap": _plain(terms.cap_nanos),
        "period": terms.cap_period,
        "most": "" if terms.request_most_nanos is None else _plain(terms.request_most_nanos),
        "ends": last_day(terms.ends_at),
    }


def _plain(nanos: int) -> str:
    whole, _, rest = format_nanos(nanos).partition(".")
    return f"{whole}.{rest.ljust(2, '0')}"


def last_day(ends_at: dt.datetime | None) -> str:
    """The last whole day before an end, as a form has it; empty without one."""
    return (ends_at - dt.timedelta(microseconds=1)).date().isoformat() if ends_at else ""


def sent_form(sent: Sent) -> dict[str, str]:
    """The fields as they were sent, to be shown again."""
    return {name: str(sent.get(name, ""))[:40] for name in FIELDS.values()}


def field_of(error: InvalidRequestError) -> str:
    """The field of the form that an error names; empty where it is about all of it."""
    param = error.param or ""
    return FIELDS.get(param, param)


def terms_kept(grant: Grant) -> GrantTerms:
    """The terms of a grant."""
    return GrantTerms(
        cap_nanos=grant.cap,
        cap_period=cast("Period", grant.cap_period),
        request_most_nanos=grant.request_most,
        ends_at=grant.ends_at,
    )


def is_over(grant: Grant) -> bool:
    """Whether its last day has passed."""
    return grant.ends_at is not None and grant.ends_at <= clock.now()


def state_of(grant: Grant, spent_nanos: int) -> tuple[str, str]:
    """One word for programs and the one that people read."""
    if grant.revoked_at:
        return "revoked", "Stopped"
    if is_over(grant):
        return "ended", "Ended"
    if grant.paused_at:
        return "paused", "Paused"
    if spent_nanos >= grant.cap:
        return "used", "Cap used up"
    return "active", "Active"


def percent(ppm: int) -> str:
    """Parts per million as people read a share.

    >>> percent(25_000), percent(0)
    ('2.5 %', '0 %')
    """
    return f"{format_nanos(ppm * PERCENT_NANOS_PER_PPM)} %"
