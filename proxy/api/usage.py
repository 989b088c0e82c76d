"""GET /v1/user/usage."""

from collections.abc import Callable, Sequence
from typing import Final

from billing.reads import Period, UsageRow
from config.kit.errors import InvalidRequestError
from config.kit.money import format_nanos
from proxy.requests import Call
from proxy.responses import send_json
from proxy.services import Services

PERIODS: Final[dict[str, Period]] = {"day": "day", "week": "week", "month": "month", "all": "all"}


async def show(services: Services, call: Call) -> None:
    """What the user spent, in total, by model and by day. Days are the paywall's.

    Raises: InvalidRequestError for an unknown period.
    """
    period = PERIODS.get(call.query.get("period", "month"))
    if period is None:
        raise InvalidRequestError("`period` must be day, week, month or all.", param="period")
    rows = await services.reads.usage(call.payer, period)
    answer = {
        "period": period,
        **_total(rows),
        "byModel": _by("model", rows, lambda row: row.model),
        "byDay": _by("day", rows, lambda row: row.day.isoformat()),
    }
    await send_json(call, 200, answer)


def _by(
    name: str, rows: Sequence[UsageRow], group_of: Callable[[UsageRow], str]
) -> list[dict[str, object]]:
    groups: dict[str, list[UsageRow]] = {}
    for row in rows:
        groups.setdefault(group_of(row), []).append(row)
    return [{name: group, **_total(members)} for group, members in sorted(groups.items())]


def _total(rows: Sequence[UsageRow]) -> dict[str, object]:
    return {
        "spent": format_nanos(sum(row.charged_nanos for row in rows)),
        "requests": sum(row.requests for row in rows),
        "promptTokens": sum(row.prompt_tokens for row in rows),
        "completionTokens": sum(row.completion_tokens for row in rows),
    }
