"""Runs the invariants: all of them over everything, or over what is new since the last run."""

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final
from uuid import UUID

from django.db import connection, transaction

from billing.invariants import BILLING, RATED, wrongly_rated
from config.kit import clock
from ledger import chain
from ledger.invariants import LEDGER, WINDOW, Invariant
from ledger.models import Verification
from ledger.watermark import complete_upto

EXAMPLES: Final = 3
BROKEN_MAX: Final = 1_000
"""More are not counted."""

ENTRIES_MAX: Final = 100_000
"""New entries in one run; the next goes on from there."""

IDS_MS_MAX: Final = 3_600_000
"""The same for ids, which are times."""

LATE_S: Final = 120
"""Ids are made before they are committed: younger ones are the next run's."""

KEPT_DAYS: Final = 14
FETCH: Final = "FETCH 2000 FROM found"

# Sorts in memory where they fit; compiled queries win nothing here. A snapshot must not last.
WHOLE: Final = (
    "SET LOCAL statement_timeout = '5min'; SET LOCAL work_mem = '64MB'; SET LOCAL jit = off;"
    " SET LOCAL cursor_tuple_fraction = 1"
)
# Plans from before the newest rows' statistics must not read tables whole.
NEW: Final = (
    "SET LOCAL statement_timeout = '1min'; SET LOCAL jit = off; SET LOCAL enable_seqscan = off;"
    " SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off"
)
# Ids up to here belong to holds that have all ended. OFFSET 0: by the index of open holds.
ENDED: Final = """
    SELECT least(
        billing_uuid_floor(clock_timestamp() - make_interval(secs => %s)),
        (SELECT id FROM (SELECT id FROM ledger_hold WHERE state = 0 OFFSET 0) running
            ORDER BY id LIMIT 1))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one invariant found: how many rows break it, and some of them."""

    number: str
    promise: str
    broken: int
    examples: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What is new: entries in (since, upto]; requests, holds and transactions by their ids."""

    since: int
    upto: int
    ids_since: UUID
    ids_upto: UUID

    def arguments(self) -> Mapping[str, object]:
        return {
            "since": self.since,
            "upto": self.upto,
            "ids_since": self.ids_since,
            "ids_upto": self.ids_upto,
        }


def verify() -> Iterator[Result]:
    """Runs every invariant in one snapshot, yields each result, and keeps the run.

    Opens its own atomic block; read only but for the kept run.
    """
    yield from _run(None)


def verify_new() -> list[Result] | None:
    """The same over what was committed since the last such run, in time that follows its amount.

    What is wrong with older rows is the whole run's to find. None, and no run, while a writer takes
    too long.
    """
    upto = complete_upto()
    if upto is None:
        return None
    last = Verification.objects.filter(upto__isnull=False).order_by("-id").first()
    since, ids_upto = 0, _ended_upto()
    ids_since = ids_upto
    if last and last.upto is not None and last.ids_upto is not None:
        since, ids_since = last.upto, last.ids_upto
    farthest = UUID(int=ids_since.int + (IDS_MS_MAX << 80))
    window = Window(
        since=since,
        upto=min(max(upto, since), since + ENTRIES_MAX),
        ids_since=ids_since,
        ids_upto=min(max(ids_upto, ids_since), farthest),
    )
    return list(_run(window))


def checks(cursor: Any, window: Window | None) -> Iterator[Result]:
    """Every invariant that can be told over the window (None: everything), in the cursor's
    transaction.
    """
    for invariant in (*LEDGER, *BILLING):
        if window is None or invariant.recent is not None:
            found = (str(row[0]) for row in _rows(cursor, invariant, window))
            yield _result(invariant.number, invariant.promise, found)
    faults = chain.broken(cursor, deep=window is None)
    yield _result("I18", "the journal is append-only: guards are on, the chain fits", faults)
    wrong = wrongly_rated(_rows(cursor, RATED, window))
    yield _result(RATED.number, RATED.promise, wrong)


def forget_old_runs() -> int:
    """Deletes clean runs over what was new, after KEPT_DAYS."""
    before = clock.now() - dt.timedelta(days=KEPT_DAYS)
    old = Verification.objects.filter(upto__isnull=False, ok=True, started_at__lt=before)
    return old.delete()[0]


def _run(window: Window | None) -> Iterator[Result]:
    started = clock.now()
    results = []
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor.execute(WHOLE if window is None else NEW)
        for result in checks(cursor, window):
            results.append(result)
            yield result
    Verification.objects.create(
        started_at=started,
        finished_at=clock.now(),
        ok=not any(result.broken for result in results),
        results=[[r.number, r.broken, *r.examples] for r in results],
        upto=window.upto if window else None,
        ids_upto=window.ids_upto if window else None,
    )


def _rows(cursor: Any, invariant: Invariant, window: Window | None) -> Iterator[tuple[Any, ...]]:
    """What its query finds, in bounded memory. One at a time: the next closes the one before."""
    query = invariant.query if window is None else f"{WINDOW} {invariant.recent}"
    cursor.execute("CLOSE ALL")
    cursor.execute(
        f"DECLARE found NO SCROLL CURSOR FOR {query}", window.arguments() if window else None
    )
    cursor.execute(FETCH)
    while rows := cursor.fetchall():
        yield from rows
        cursor.execute(FETCH)


def _result(number: str, promise: str, found: Iterator[str]) -> Result:
    began = clock.now()
    rows = list(islice(found, BROKEN_MAX))
    return Result(
        number=number,
        promise=promise,
        broken=len(rows),
        examples=tuple(rows[:EXAMPLES]),
        seconds=(clock.now() - began).total_seconds(),
    )


def _ended_upto() -> UUID:
    with connection.cursor() as cursor:
        cursor.execute(ENDED, [LATE_S])
        upto: UUID = cursor.fetchone()[0]
    return upto
