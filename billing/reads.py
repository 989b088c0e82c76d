"""What the public API reads about money: async, without the ORM; only `connect` writes."""

import datetime as dt
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import UUID

import orjson

from billing import backlog
from billing.backlog import Backlog
from billing.database import Database
from billing.history import (
    LABELS,
    LINES,
    SHARED_LINES,
    TOTALS,
    TOTALS_OF,
    HistoryLine,
    Totals,
    history_page,
    label_arguments,
    totals_of,
)
from billing.types import Page, Payer
from billing.wire import payer_object
from config.kit.crypto import seal, unseal
from config.kit.limits import PAGE_ROWS
from paywalls.decisions import Refused

Period = Literal["day", "week", "month", "all"]
ANSWER_HOURS: Final = 24
DAYS: Final[Mapping[str, int]] = {"day": 0, "week": 6, "month": 29}
USAGE: Final = """
    SELECT d.day, d.model, d.requests, d.prompt_tokens, d.completion_tokens, d.charged
    FROM billing_daily d JOIN paywalls_enduser u ON u.id = d.user_id
    WHERE u.paywall_id = %s AND u.livemode = %s AND u.external_id = %s
        AND d.day >= coalesce((now() AT TIME ZONE %s)::date - %s::int, '-infinity')
    ORDER BY d.day, d.model
"""
REQUEST: Final = """
    SELECT status, model, usage, usage_source, charged, policy, created_at, finished_at, error_code,
        transaction_id
    FROM billing_request r WHERE id = %s AND paywall_id = %s AND livemode = %s
        AND (%s::text IS NULL OR EXISTS (
            SELECT FROM paywalls_enduser u WHERE u.id = r.user_id AND u.external_id = %s))
    UNION ALL
    SELECT 'running', facts ->> 'model', '{}', 'none', 0, '', created_at, NULL, '', NULL
    FROM ledger_hold h WHERE id = %s AND state = 0 AND facts ->> 'paywall' = %s
        AND (facts ->> 'live')::boolean = %s
        AND (%s::text IS NULL OR EXISTS (
            SELECT FROM paywalls_enduser u
            WHERE u.id = (h.facts ->> 'user')::uuid AND u.external_id = %s))
"""
BOOKS: Final = """
    WITH whole AS (
        SELECT started_at, finished_at FROM ledger_verification WHERE upto IS NULL
        ORDER BY id DESC LIMIT 1
    ), found AS (
        SELECT result ->> 0 AS number, max((result ->> 1)::bigint) AS broken
        FROM ledger_verification v, jsonb_array_elements(v.results) AS result
        WHERE v.started_at >= coalesce((SELECT started_at FROM whole), '-infinity')
            AND (NOT v.ok OR v.upto IS NULL)
        GROUP BY 1
    )
    SELECT (SELECT jsonb_object_agg(number, broken) FROM found),
        extract(epoch FROM (SELECT finished_at FROM whole))::float8,
        extract(epoch FROM (SELECT finished_at FROM ledger_verification WHERE upto IS NOT NULL
            ORDER BY id DESC LIMIT 1))::float8,
        extract(epoch FROM (SELECT created_at FROM ledger_checkpoint
            ORDER BY number DESC LIMIT 1))::float8
"""
"""What a run over new rows found broken stays broken until a run over everything says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """What is known about the books' health. Times are seconds since 1970, None: never.

    broken: how many rows break each invariant.
    """

    broken: Mapping[str, int]
    whole_at: float | None = None
    new_at: float | None = None
    checkpoint_at: float | None = None
    read_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRow:
    """One user's day with one model. Amounts in nanos."""

    day: dt.date
    model: str
    requests: int
    prompt_tokens: int
    completion_tokens: int
    charged_nanos: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestView:
    """A request as its owner may see it. status `running` while its hold is open."""

    status: str
    model: str
    usage: Mapping[str, int]
    usage_source: str
    charged_nanos: int
    policy: str
    error_code: str
    created_at: dt.datetime
    finished_at: dt.datetime | None
    transaction_id: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectedUser:
    """An end user that exists, and since when it is connected."""

    user_id: UUID
    created_at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Unconnected:
    """An end user of a Shared paywall for whom no wallet pays now."""

    user_id: UUID


class Reads:
    """The read side of the hot path's database."""

    def __init__(self, database: Database, *, encryption_keys: tuple[bytes, ...]) -> None:
        self._database = database
        self._keys = encryption_keys

    async def ready(self) -> bool:
        """Whether the database answers and has this release's functions."""
        found = await self._database.value(
            "SELECT to_regproc('billing_settle_many') IS NOT NULL", []
        )
        return bool(found)

    async def books(self) -> Books:
        """What the last runs of the invariants found."""
        ((broken, whole_at, new_at, checkpoint_at),) = await self._database.rows(BOOKS, [])
        return Books(
            broken=broken or {},
            whole_at=whole_at,
            new_at=new_at,
            checkpoint_at=checkpoint_at,
            read_at=time.monotonic(),
        )

    async def backlog(self) -> Backlog:
        """What waits between us and others."""
        return await backlog.read(self._database)

    async def balance(self, payer: Payer) -> int:
        """What the user can spend, in nanos; a user never seen: what the trial would give.

        In Shared mode what wallet and grant allow this app together.
        """
        if payer.shared:
            seen = await self._database.value(
                "SELECT billing_shared_user(%s, %s, %s)",
                [payer.paywall_id, payer.livemode, payer.user],
            )
            return int(seen["left"]) if seen else 0
        nanos = await self._database.value(
            "SELECT billing_balance(%s, %s, %s)", [payer.paywall_id, payer.livemode, payer.user]
        )
        return payer.trial_nanos if nanos is None else max(int(nanos), 0)

    async def connect(self, payer: Payer) -> ConnectedUser | Refused:
        """The end user, made with wallet and trial when it is new."""
        payer_of = payer_object(payer)
        closed = await self._database.value(
            "SELECT billing_closed(%s, %s)", [payer.paywall_id, payer.key_id]
        )
        if closed is not None:
            return Refused(code=closed)
        rows = await self._database.rows(
            "SELECT id, created_at FROM billing_user(%s, %s, %s, %s, %s::jsonb)",
            [
                payer.paywall_id,
                payer.livemode,
                payer.user,
                payer.currency,
                orjson.dumps(payer_of["trial"]).decode(),
            ],
        )
        return ConnectedUser(user_id=rows[0][0], created_at=rows[0][1])

    async def connect_shared(self, payer: Payer) -> ConnectedUser | Unconnected | Refused:
        """A Shared paywall's user, made when it is new; where nobody pays, somebody is asked to."""
        closed = await self._database.value(
            "SELECT billing_closed(%s, %s)", [payer.paywall_id, payer.key_id]
        )
        if closed is not None:
            return Refused(code=closed)
        seen = await self._database.value(
            "SELECT billing_shared_connect(%s, %s, %s)",
            [payer.paywall_id, payer.livemode, payer.user],
        )
        user_id = UUID(seen["user"])
        if not seen["connected"]:
            return Unconnected(user_id=user_id)
        return ConnectedUser(user_id=user_id, created_at=dt.datetime.fromisoformat(seen["since"]))

    async def usage(self, payer: Payer, period: Period) -> list[UsageRow]:
        """The user's days by model, from exact roll-ups; days are the paywall's."""
        back = DAYS.get(period)
        rows = await self._database.rows(
            USAGE, [payer.paywall_id, payer.livemode, payer.user, payer.timezone, back]
        )
        return [
            UsageRow(
                day=day,
                model=model,
                requests=requests,
                prompt_tokens=prompt,
                completion_tokens=completion,
                charged_nanos=int(charged),
            )
            for day, model, requests, prompt, completion, charged in rows
        ]

    async def history(
        self, payer: Payer, *, before: int | None = None, rows: int = PAGE_ROWS
    ) -> Page[HistoryLine, int]:
        """The newest movements on the user's wallet, or those before the entry `before`.

        In Shared mode only those that were for this user: the wallet is none of the app's business.
        """
        if payer.shared:
            return await self._shared_history(payer, before=before, rows=rows)
        wallet = await self._database.value(
            "SELECT wallet_id FROM paywalls_enduser"
            " WHERE paywall_id = %s AND livemode = %s AND external_id = %s",
            [payer.paywall_id, payer.livemode, payer.user],
        )
        if wallet is None:
            return Page(items=(), next=None)
        found = await self._database.rows(LINES, [wallet, before, rows])
        labels = await self._database.rows(LABELS, label_arguments(found))
        return history_page(found, labels, rows)

    async def _shared_history(
        self, payer: Payer, *, before: int | None, rows: int
    ) -> Page[HistoryLine, int]:
        user_id = await self._database.value(
            "SELECT id FROM paywalls_enduser"
            " WHERE paywall_id = %s AND livemode = %s AND external_id = %s",
            [payer.paywall_id, payer.livemode, payer.user],
        )
        found = await self._database.rows(SHARED_LINES, [before, user_id, rows])
        labels = await self._database.rows(LABELS, label_arguments(found))
        return history_page(found, labels, rows)

    async def totals(self, payer: Payer) -> Totals:
        """What the user's newest requests were charged, by run and by feature."""
        user_id = await self._database.value(
            "SELECT id FROM paywalls_enduser"
            " WHERE paywall_id = %s AND livemode = %s AND external_id = %s",
            [payer.paywall_id, payer.livemode, payer.user],
        )
        return totals_of(await self._database.rows(TOTALS, [user_id, TOTALS_OF]))

    async def request(
        self, paywall_id: UUID, request_id: UUID, *, livemode: bool, user: str | None = None
    ) -> RequestView | None:
        """A request of this paywall (and of this user, when one is given), or None."""
        ended = (request_id, paywall_id, livemode, user, user)
        running = (request_id, str(paywall_id), livemode, user, user)
        rows = await self._database.rows(REQUEST, [*ended, *running])
        if not rows:
            return None
        return _view(rows[0])

    async def keep_answer(self, request_id: UUID, *, body: bytes, content_type: str) -> None:
        """Keeps a chat's answer, sealed, for a day."""
        await self._database.rows(
            """
            INSERT INTO billing_answer (request_id, sealed, content_type, expires_at)
            VALUES (%s, %s, %s, clock_timestamp() + make_interval(hours => %s))
            ON CONFLICT DO NOTHING RETURNING request_id
            """,
            [
                request_id,
                seal(body, context=f"answer:{request_id}", keys=self._keys),
                content_type,
                ANSWER_HOURS,
            ],
        )

    async def kept_answer(self, request_id: UUID) -> tuple[bytes, str] | None:
        """Body and content type of a kept answer, or None.

        Raises: SealError.
        """
        rows = await self._database.rows(
            "SELECT sealed, content_type FROM billing_answer"
            " WHERE request_id = %s AND expires_at > clock_timestamp()",
            [request_id],
        )
        if not rows:
            return None
        sealed, content_type = rows[0]
        body = unseal(bytes(sealed), context=f"answer:{request_id}", keys=self._keys)
        return body, content_type


def _view(row: tuple[Any, ...]) -> RequestView:
    status, model, usage, source, charged, policy, created, finished, error, transaction = row
    return RequestView(
        status=status,
        model=model or "",
        usage=usage,
        usage_source=source,
        charged_nanos=charged,
        policy=policy,
        error_code=error,
        created_at=created,
        finished_at=finished,
        transaction_id=transaction,
    )
