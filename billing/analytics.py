"""What a paywall earned and cost over its last days, from roll-ups alone.

The cost of asking depends on days and models, not on how many requests or users there were.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Self
from uuid import UUID

from django.db import connection

Days = Literal[1, 7, 30, 90]

TOP_USERS: Final = 20

SUMS: Final = """
    WITH today AS (
        SELECT (now() AT TIME ZONE timezone)::date AS day FROM paywalls_paywall
        WHERE id = %(paywall)s
    )
    SELECT d.day, d.model, grouping(d.day, d.model), coalesce(sum(d.requests), 0),
        coalesce(sum(d.failures), 0), coalesce(sum(d.prompt_tokens), 0),
        coalesce(sum(d.completion_tokens), 0), coalesce(sum(d.charged), 0),
        coalesce(sum(d.provider_cost), 0)
    FROM billing_paywallday d
    WHERE d.paywall_id = %(paywall)s AND d.livemode = %(live)s
        AND d.day > (SELECT day FROM today) - %(days)s AND d.day <= (SELECT day FROM today)
    GROUP BY GROUPING SETS ((), (d.day), (d.model))
    ORDER BY d.day, sum(d.charged) DESC, d.model
"""
"""One row of the total (grouping 3), of each day (1), of each model (2)."""

RANKING: Final = """
    SELECT r.active_users, r.ranked_at, p.user_id,
        coalesce((SELECT external_id FROM paywalls_enduser u WHERE u.id = p.user_id), ''),
        p.charged, p.requests
    FROM billing_ranking r
    CROSS JOIN LATERAL (
        SELECT (spot ->> 0)::uuid, (spot ->> 1)::numeric, (spot ->> 2)::bigint, place
        FROM jsonb_array_elements(r.top) WITH ORDINALITY AS spots (spot, place)
    ) AS p (user_id, charged, requests, place)
    WHERE r.paywall_id = %(paywall)s AND r.livemode = %(live)s AND r.days = %(days)s
    ORDER BY p.place
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """Requests, those of them that failed, tokens, and money in nanos of the paywall's currency.

    Manual charges count as requests of the model `manual`.
    """

    requests: int
    failures: int
    prompt_tokens: int
    completion_tokens: int
    revenue_nanos: int
    provider_cost_nanos: int

    @property
    def margin_nanos(self) -> int:
        return self.revenue_nanos - self.provider_cost_nanos

    @classmethod
    def of(cls, numbers: tuple[Any, ...]) -> Self:
        """Read from a row's last columns, in the order of the fields."""
        requests, failures, prompt, completion, revenue, cost = map(int, numbers)
        return cls(
            requests=requests,
            failures=failures,
            prompt_tokens=prompt,
            completion_tokens=completion,
            revenue_nanos=revenue,
            provider_cost_nanos=cost,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TopUser:
    """One of those who spent the most. user: the developer's own id of them."""

    user_id: UUID
    user: str
    requests: int
    spent_nanos: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Analytics:
    """A paywall's last `days`, today included, in its own time zone.

    by_day: the days with requests, in their order; by_model: the best paid first.
    added_up_at, ranked_at: how old sums and users are; None before the worker's first run.
    """

    days: Days
    total: Sums
    by_day: Mapping[dt.date, Sums]
    by_model: Mapping[str, Sums]
    active_users: int
    top_users: tuple[TopUser, ...]
    added_up_at: dt.datetime | None
    ranked_at: dt.datetime | None


def analytics(paywall_id: UUID, *, livemode: bool, days: Days) -> Analytics:
    """The sums of a paywall's last days, as the worker added them up a minute ago."""
    arguments: dict[str, Any] = {"paywall": paywall_id, "live": livemode, "days": days}
    with connection.cursor() as cursor:
        cursor.execute(SUMS, arguments)
        sums = cursor.fetchall()
        cursor.execute(RANKING, arguments)
        ranking = cursor.fetchall()
        cursor.execute("SELECT rolled_at FROM billing_rollup WHERE id = 1")
        rolled = cursor.fetchone()
    return Analytics(
        days=days,
        total=next(Sums.of(row[3:]) for row in sums if row[2] == 3),
        by_day={row[0]: Sums.of(row[3:]) for row in sums if row[2] == 1},
        by_model={row[1]: Sums.of(row[3:]) for row in sums if row[2] == 2},
        active_users=ranking[0][0] if ranking else 0,
        top_users=tuple(
            TopUser(user_id=user_id, user=user, requests=requests, spent_nanos=int(charged))
            for _, _, user_id, user, charged, requests in ranking
        ),
        added_up_at=rolled[0] if rolled else None,
        ranked_at=ranking[0][1] if ranking else None,
    )
