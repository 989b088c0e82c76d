"""The only reader of the time of day. Money asks the database's clock instead."""

import datetime as dt


def now() -> dt.datetime:
    """The time, aware, in UTC."""
    return dt.datetime.now(dt.UTC)  # noqa: TID251 - here and nowhere else.


def wire(moment: dt.datetime) -> str:
    """ISO-8601 in UTC with `Z`, to the millisecond.

    >>> wire(dt.datetime(2026, 11, 20, 4, 5, 6, 789000, dt.UTC))
    '2026-11-20T04:05:06.789Z'
    """
    assert moment.tzinfo is not None, moment
    text = moment.astimezone(dt.UTC).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"
