"""`./run bench --growth`: whether a long history makes anything slower.

A database for each size, on a PostgreSQL of its own, filled by `fill_ledger`. Each is measured by a
process of its own through the product's functions; the sizes take turns, so that a bad moment of
the machine hits them all. Quote the ratios.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import psycopg

from config.dev import database, servers
from config.dev.process import INTERRUPTED, NotStartedError, end_on_signals
from config.dev.state import State, in_one_line
from config.kit import clock
from tests.bench import machine, table
from tests.bench.growth_report import MET_RATIO, markdown, plans_markdown
from tests.bench.product import Product

PAGE: Final = database.ROOT / "templates" / "docs" / "growth.md"
RESULTS: Final = "## The last run"
PLANS: Final = "## Plans"
SIZES: Final = (1_000, 100_000, 5_000_000)
ROUNDS: Final = 7
DAYS: Final = 30
"""Every size spans as many, so that pages and periods have the same number of rows."""

READS: Final = {
    "balance": 60,
    "history": 40,
    "history_api": 40,
    "requests": 40,
    "model": 40,
    "user": 40,
    "analytics": 40,
}
"""Case -> samples a round."""

WRITES: Final = {"one": 30, "many": 3, "many_any": 3}
"""Measured last, because they make the smallest database grow."""

ANSWER_S: Final = 120


@dataclass(frozen=True)
class Sized:
    """What is known of one database. seconds: its filling."""

    rows: int
    seconds: float
    gigabytes: float
    verify_s: float | None
    medians: dict[str, float]


class Database:
    """One size: its address, and the process that measures it."""

    def __init__(self, rows: int, environment: dict[str, str], log: Path) -> None:
        self.rows, self.environment, self.log = rows, environment, log
        self.seconds = 0.0
        self.samples: dict[str, list[float]] = {case: [] for case in (*READS, *WRITES)}
        self.process: subprocess.Popen[str] | None = None

    def fill(self) -> None:
        """Raises: NotStartedError."""
        began = time.monotonic()
        arguments = ["fill_ledger", f"--rows={self.rows}", f"--days={DAYS}"]
        database.manage(arguments, self.environment, log=self.log)
        self.seconds = time.monotonic() - began

    def verify(self) -> float:
        """Seconds that `ledger_verify` takes; it must hold.

        Raises: NotStartedError.
        """
        began = time.monotonic()
        database.manage(["ledger_verify"], self.environment, log=self.log)
        return time.monotonic() - began

    def start(self) -> None:
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.bench.growth_worker"],
                env={**os.environ, **self.environment},
                cwd=database.ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._line() == "ready"

    def measure(self, case: str, samples: int) -> None:
        self.samples[case] += self.ask(case, samples)

    def ask(self, case: str, samples: int = 0) -> Any:
        assert self.process
        assert self.process.stdin
        print(json.dumps({"case": case, "samples": samples}), file=self.process.stdin, flush=True)
        return json.loads(self._line())

    def _line(self) -> str:
        assert self.process
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            tail = "\n".join(self.log.read_text().splitlines()[-15:])
            raise NotStartedError(f"the process that measures {self.rows:,} rows ended:\n{tail}")
        return line.strip()

    def stop(self) -> None:
        if self.process and self.process.stdin:
            self.process.stdin.close()
            self.process.wait(ANSWER_S)


class Growth:
    """The servers, the databases, and the rounds."""

    def __init__(self, state: State, sizes: Sequence[int]) -> None:
        self.state, self.product, self.sizes = state, Product(state), sizes
        self.databases: list[Database] = []

    def start(self) -> None:
        """Raises: NotStartedError."""
        self.product.start_servers(web_port=8000)
        environment = self.product.stack.environment | {
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "LOG_JSON": "false",
        }
        with psycopg.connect(self.admin_url(), autocommit=True) as admin:
            for rows in self.sizes:
                name = f"growth_{rows}"
                admin.execute(
                    f"CREATE DATABASE {name} TEMPLATE paywalls OWNER {servers.OWNER_ROLE}"
                )
                urls = {
                    key: with_database(environment[key], name)
                    for key in ("DATABASE_URL", "DATABASE_OWNER_URL")
                }
                log = self.state.log(name)
                self.databases.append(Database(rows, environment | urls, log))

    def admin_url(self) -> str:
        """The superuser has the same password as the others."""
        owner = self.product.stack.environment["DATABASE_OWNER_URL"]
        return with_database(owner, "postgres").replace(servers.OWNER_ROLE, servers.SUPERUSER, 1)

    def fill(self) -> None:
        for each in self.databases:
            each.fill()
            print(f"{each.rows:,} rows in {each.seconds:.0f} s", flush=True)
        with psycopg.connect(self.admin_url(), autocommit=True) as admin:
            admin.execute("CHECKPOINT")  # Else it would run into the first rounds.

    def measure(self) -> None:
        for each in self.databases:
            each.start()
        for cases in (READS, WRITES):
            self._round(cases, first=0)  # Caches fill, statements are prepared.
            for each in self.databases:
                each.samples.update({case: [] for case in cases})
            for number in range(ROUNDS):
                self._round(cases, first=number % len(self.databases))

    def _round(self, cases: Mapping[str, int], *, first: int) -> None:
        for case, samples in cases.items():
            for each in (*self.databases[first:], *self.databases[:first]):
                each.measure(case, samples)

    def result(self, *, verify: bool) -> list[Sized]:
        return [
            Sized(
                rows=each.rows,
                seconds=round(each.seconds, 1),
                gigabytes=self._gigabytes(each),
                verify_s=round(each.verify(), 1) if verify else None,
                medians={
                    case: round(statistics.median(samples), 3)
                    for case, samples in each.samples.items()
                },
            )
            for each in self.databases
        ]

    def _gigabytes(self, each: Database) -> float:
        with psycopg.connect(each.environment["DATABASE_OWNER_URL"]) as owner:
            row = owner.execute("SELECT pg_database_size(current_database())").fetchone()
        assert row is not None
        size: int = row[0]
        return round(size / 1e9, 2)

    def stop(self) -> None:
        for each in self.databases:
            each.stop()
        self.product.stop()


def with_database(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def main(arguments: list[str]) -> int:
    """The exit code: 1 when something did not start or did not stay flat."""
    options = parser().parse_args(arguments)
    end_on_signals()
    folder = Path(tempfile.mkdtemp(prefix="paywalls-growth-"))
    for name in ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL"):
        os.environ.pop(name, None)  # Nobody's data: it starts servers of its own.
    growth = Growth(State(folder), options.sizes)
    try:
        return run(growth, options)
    except NotStartedError as error:
        print(f"./run bench --growth: {error}", file=sys.stderr)
    except OSError as error:
        print(f"./run bench --growth: {in_one_line(error)}", file=sys.stderr)
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        growth.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return 1


def run(growth: Growth, options: argparse.Namespace) -> int:
    """Raises: NotStartedError."""
    growth.start()
    growth.fill()
    growth.measure()
    plans: dict[str, list[str]] = growth.databases[-1].ask("plans")
    report: dict[str, Any] = {
        "date": f"{clock.now():%-d %B %Y}",
        "machine": machine.describe(machine.own_cores()),
        "postgresql": growth.product.version(),
        "sizes": [asdict(sized) for sized in growth.result(verify=options.verify)],
        "plans": plans,
    }
    print(markdown(report))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    if options.docs:
        text = table.replace_section(PAGE.read_text(), RESULTS, markdown(report))
        PAGE.write_text(table.replace_section(text, PLANS, plans_markdown(plans)))
    return 0 if is_flat(report) else 1


def is_flat(report: Mapping[str, Any]) -> bool:
    """Whether no case takes longer at any size than the smallest size allows."""
    first, *others = report["sizes"]
    return all(
        each["medians"][case] <= MET_RATIO * least
        for each in others
        for case, least in first["medians"].items()
    )


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(prog="./run bench --growth", description=__doc__)
    default = ",".join(str(size) for size in SIZES)
    found.add_argument(
        "--sizes", type=sizes, default=default, help=f"ledger rows, with commas ({default})"
    )
    found.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    found.add_argument(
        "--docs", action="store_true", help=f"write into {PAGE.relative_to(database.ROOT)}"
    )
    found.add_argument(
        "--no-verify", dest="verify", action="store_false", help="leave ledger_verify out"
    )
    return found


def sizes(text: str) -> list[int]:
    found = [int(word.replace("_", "")) for word in text.split(",")]
    if not found or min(found) < 1 or found != sorted(set(found)):
        raise argparse.ArgumentTypeError("sizes are numbers of rows, the smallest first")
    return found
