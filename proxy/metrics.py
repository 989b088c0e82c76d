"""Counters of one process, in Prometheus' words, and the one line each request leaves in the log.

One thread writes, so these are plain integers: the client library's own counters lock and cost
ten times as much. It still writes the exposition.
"""

import asyncio
import logging
import math
import sys
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Final

import orjson
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from billing.backlog import Backlog
from billing.database import retries
from billing.reads import Books
from config.kit import clock
from config.kit.money import NANOS
from proxy import backlog
from proxy.requests import Exchange

CONTENT_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"
SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5, 10, 30, 60)
FLUSH_S: Final = 0.1
LINES_MAX: Final = 256
QUIET: Final = frozenset({"/healthz", "/readyz", "/metrics"})
"""Routes that machines ask every few seconds."""


class RequestLog:
    """JSON lines, past the common handler (28 µs a line); written together, ten times a second."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []

    def note(self, facts: Mapping[str, object]) -> None:
        """Add a line; facts never hold prompts, keys or the end user's id."""
        if not self._lines:
            asyncio.get_running_loop().call_later(FLUSH_S, self.flush)
        line = {"event": "request", "timestamp": clock.now(), **facts}
        self._lines.append(orjson.dumps(line, option=orjson.OPT_UTC_Z))
        if len(self._lines) >= LINES_MAX:
            self.flush()

    def flush(self) -> None:
        """Write what has been noted; a full disk costs these lines, and no request."""
        lines, self._lines = self._lines, []
        if lines:
            with suppress(OSError):
                sys.stderr.buffer.write(b"\n".join(lines) + b"\n")
                sys.stderr.buffer.flush()


class Durations:
    """A histogram of seconds."""

    __slots__ = ("counts", "total_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(SECONDS) + 1)
        self.total_s = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(SECONDS, seconds)] += 1
        self.total_s += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulated, as Prometheus wants them."""
        running, found = 0, []
        for bound, count in zip((*map(str, SECONDS), "+Inf"), self.counts, strict=True):
            running += count
            found.append((bound, float(running)))
        return found


class Metrics:
    """What one process counts. Counting never waits and never fails."""

    def __init__(self) -> None:
        self.in_flight = 0
        self.holds_open = 0
        self.books = Books(broken={}, read_at=-math.inf)
        self.backlog = Backlog(read_at=-math.inf)
        self._requests: Counter[tuple[str, int]] = Counter()
        self._durations: dict[str, Durations] = {}
        self._decisions: Counter[str] = Counter()
        self._charged_nanos: Counter[tuple[str, bool]] = Counter()
        self._upstream_errors: Counter[str] = Counter()
        self._settles = Durations()
        self._registry = CollectorRegistry()
        self._registry.register(self)
        is_wanted = logging.getLogger("paywalls.requests").isEnabledFor(logging.INFO)
        self.log = RequestLog() if is_wanted else None

    def answered(self, exchange: Exchange) -> None:
        """A request is over. Status 0: the client left before an answer."""
        route, status = exchange.route, exchange.status
        seconds = time.monotonic() - exchange.started
        self._requests[route, status] += 1
        durations = self._durations.get(route)
        if durations is None:
            durations = self._durations[route] = Durations()
        durations.observe(seconds)
        if self.log and route not in QUIET:
            ms = round(seconds * 1000, 2)
            self.log.note({"route": route, "status": status, "ms": ms, **exchange.facts})

    def decided(self, decision: str) -> None:
        """The gate said so to a request for money."""
        self._decisions[decision] += 1

    def charged(self, currency: str, nanos: int, *, livemode: bool) -> None:
        """A charge was booked."""
        self._charged_nanos[currency, livemode] += nanos

    def upstream_failed(self, code: str) -> None:
        """An attempt at a provider went wrong; code: the error's."""
        self._upstream_errors[code] += 1

    def settled(self, seconds: float) -> None:
        """How long the books took after the provider's last byte."""
        self._settles.observe(seconds)

    def exposition(self) -> bytes:
        """All of it as text."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """For the registry."""
        yield _counter("requests", "Requests by route and status.", ["route", "status"], {
            (route, str(status)): float(count)
            for (route, status), count in self._requests.items()
        })  # fmt: skip
        seconds = HistogramMetricFamily(
            "paywalls_request_seconds", "Time to the last byte.", labels=["route"]
        )
        for route, durations in self._durations.items():
            seconds.add_metric([route], durations.buckets(), durations.total_s)
        yield seconds
        yield _counter("decisions", "What the gate decided.", ["decision"], {
            (decision,): float(count) for decision, count in self._decisions.items()
        })  # fmt: skip
        yield _counter("charged", "Money charged, in units.", ["currency", "mode"], {
            (currency, "live" if livemode else "test"): nanos / NANOS
            for (currency, livemode), nanos in self._charged_nanos.items()
        })  # fmt: skip
        yield _counter("upstream_errors", "Failed attempts at providers.", ["code"], {
            (code,): float(count) for code, count in self._upstream_errors.items()
        })  # fmt: skip
        yield _counter("database_retries", "Calls of the gate tried again.", ["sqlstate"], {
            (sqlstate,): float(count) for sqlstate, count in retries.items()
        })  # fmt: skip
        settles = HistogramMetricFamily("paywalls_settle_seconds", "Time to book a charge.")
        settles.add_metric([], self._settles.buckets(), self._settles.total_s)
        yield settles
        yield from _of_books(self.books)
        yield from backlog.families(self.backlog)
        yield GaugeMetricFamily("paywalls_requests_in_flight", "Running now.", self.in_flight)
        yield GaugeMetricFamily("paywalls_holds_open", "Holds of this process.", self.holds_open)


def _counter(
    name: str, text: str, labels: list[str], values: Mapping[tuple[str, ...], float]
) -> CounterMetricFamily:
    family = CounterMetricFamily(f"paywalls_{name}", text, labels=labels)
    for label_values, value in values.items():
        family.add_metric(label_values, value)
    return family


def _of_books(books: Books) -> Iterator[Metric]:
    broken = GaugeMetricFamily(
        "paywalls_ledger_broken", "Rows that break a promise of the ledger.", labels=["invariant"]
    )
    for number, rows in books.broken.items():
        broken.add_metric([number], rows)
    yield broken
    verified = GaugeMetricFamily(
        "paywalls_ledger_verified_timestamp_seconds",
        "When the ledger was last checked: all of it, or what was new.",
        labels=["run"],
    )
    for run, moment in (("whole", books.whole_at), ("new", books.new_at)):
        if moment is not None:
            verified.add_metric([run], moment)
    yield verified
    checkpoint = GaugeMetricFamily(
        "paywalls_ledger_checkpoint_timestamp_seconds", "When the chain last grew."
    )
    if books.checkpoint_at is not None:
        checkpoint.add_metric([], books.checkpoint_at)
    yield checkpoint
