"""Billing periods: calendar months and years from an anchor, days and weeks by their length."""

import calendar
from datetime import UTC, datetime
from typing import Any, Final

DAY_S: Final = 86_400
MONTHS: Final = {"month": 1, "year": 12}
DAYS: Final = {"day": 1, "week": 7}


def end_of(start: int, anchor: int, recurring: dict[str, Any]) -> int:
    """Where the period that begins at `start` ends. A month's end keeps to the anchor's day."""
    interval, count = recurring["interval"], recurring["interval_count"]
    if interval in DAYS:
        return start + DAYS[interval] * int(count) * DAY_S
    begins, anchored = datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(anchor, UTC)
    month = begins.month - 1 + MONTHS[interval] * count
    year, month = begins.year + month // 12, month % 12 + 1
    day = min(anchored.day, calendar.monthrange(year, month)[1])
    return int(begins.replace(year=year, month=month, day=day).timestamp())
