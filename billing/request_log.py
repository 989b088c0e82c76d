"""A paywall's requests, the newest first.

A page costs the same however long the log is: it follows an index, and one with a filter looks at a
bounded number of requests and says where to look on.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final
from uuid import UUID

import orjson
from django.db import connection
from psycopg import sql

from billing.types import Page
from config.kit import clock
from config.kit.limits import PAGE_ROWS

LOOKED_AT_MAX: Final = 2_000
"""Requests that one page of a filtered list looks at."""

WHOLE: Final = "completed"
DAY_MS: Final = 24 * 3_600 * 1_000
RECENT_MS: Final = 31 * DAY_MS
OLDEST: Final = UUID(int=0)

LOOKED_AT: Final = """
    SELECT * FROM billing_request
    WHERE {whose} = ANY(ARRAY[%(key)s]::uuid[]) AND id < %(before)s AND id >= %(since)s {more}
    ORDER BY {whose} DESC, id DESC LIMIT %(most)s
"""
"""Compared as a list and ordered by both columns, so that only the index of both gives the order:
the primary key's would walk through everybody's requests, where this one has many in the month but
none of late. The bounds of id leave months out."""

PAGE: Final = """
    SELECT r.id, r.user_id,
        coalesce((SELECT external_id FROM paywalls_enduser u WHERE u.id = r.user_id), ''), r.key_id,
        r.status, r.policy, r.model, r.feature, r.run, r.streamed, r.http_status, r.error_code,
        r.usage, r.usage_source, r.charged, r.written_off, r.provider_cost, r.transaction_id,
        r.first_byte_ms, r.duration_ms, r.created_at, r.finished_at
    FROM (
        SELECT * FROM ({looked_at}) l
        WHERE paywall_id = %(paywall)s AND livemode = %(live)s
            AND (%(status)s IS NULL OR status = %(status)s)
            AND (%(model)s IS NULL OR model = %(model)s)
        LIMIT %(rows)s + 1
    ) r
    ORDER BY r.id DESC
"""
END: Final = "SELECT count(*), (array_agg(id ORDER BY id))[1] FROM ({looked_at}) r"
"""How many requests were looked at, and the oldest of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which requests: each condition that is given. user_id: our own id of the end user."""

    status: str | None = None
    model: str | None = None
    user_id: UUID | None = None


EVERYTHING: Final = Filter()


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLine:
    """One request as its paywall's owner may see it. Amounts in nanos, times in milliseconds."""

    request_id: UUID
    user_id: UUID
    user: str
    key_id: UUID | None
    status: str
    policy: str
    model: str
    feature: str
    run: str
    streamed: bool
    http_status: int
    error_code: str
    usage: Mapping[str, int]
    usage_source: str
    charged_nanos: int
    written_off_nanos: int
    provider_cost_nanos: int
    transaction_id: UUID | None
    first_byte_ms: int | None
    duration_ms: int
    created_at: dt.datetime
    finished_at: dt.datetime


def requests(
    paywall_id: UUID,
    *,
    livemode: bool,
    only: Filter = EVERYTHING,
    before: UUID | None = None,
    rows: int = PAGE_ROWS,
) -> Page[RequestLine, UUID]:
    """The newest requests that ended, or those before the request `before`.

    A page with a filter may be short, even empty, and still have a `next`.
    """
    looked_at = _looked_at(only)
    before = before or _least_id(clock.now().timestamp() * 1_000 + DAY_MS)
    arguments: dict[str, Any] = {
        "paywall": paywall_id,
        "live": livemode,
        "status": only.status,
        "model": only.model,
        "key": only.user_id or paywall_id,
        "before": before,
        "most": LOOKED_AT_MAX,
        "rows": rows,
    }
    found: list[tuple[Any, ...]] = []
    with connection.cursor() as cursor:
        # The newest months are enough for most; planning for all of them takes longer than reading.
        for since in (_least_id((before.int >> 80) - RECENT_MS), OLDEST):
            arguments["since"] = since
            cursor.execute(sql.SQL(PAGE).format(looked_at=looked_at), arguments)
            found = cursor.fetchall()
            if len(found) > rows:
                break
        lines = tuple(_line(row) for row in found[:rows])
        if len(found) > rows:
            return Page(items=lines, next=lines[-1].request_id)
        cursor.execute(sql.SQL(END).format(looked_at=looked_at), arguments)
        count, oldest = cursor.fetchone()
    return Page(items=lines, next=oldest if count == LOOKED_AT_MAX else None)


def _looked_at(only: Filter) -> sql.Composed:
    """What an index answers: the requests of a user, those that went wrong, or all."""
    is_of_user = only.user_id is not None
    is_unwhole = not is_of_user and only.status not in (None, WHOLE)
    return sql.SQL(LOOKED_AT).format(
        whose=sql.Identifier("user_id" if is_of_user else "paywall_id"),
        more=sql.SQL("AND status <> 'completed'" if is_unwhole else ""),
    )


def _least_id(milliseconds: float) -> UUID:
    """The least UUIDv7 of a moment."""
    return UUID(int=max(int(milliseconds), 0) << 80)


def _line(row: tuple[Any, ...]) -> RequestLine:
    named = dict(zip(FIELDS, row, strict=True))
    return RequestLine(**named | {"usage": orjson.loads(named["usage"])})


FIELDS: Final = tuple(field.name for field in fields(RequestLine))
"""In the order in which PAGE selects them."""
