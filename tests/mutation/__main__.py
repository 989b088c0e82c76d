"""`python -m tests.mutation`: take each guard out of a copy of the product, and see a test go red.

The working tree is not touched. First all tests of the guards run with every guard in its place.
"""

import argparse
import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Final, Literal

import psycopg
from psycopg import sql

from config.dev import database, test
from config.dev.process import Child, NotStartedError, end_on_signals, stop_all
from tests.mutation.guard import Guard, LostGuardError
from tests.mutation.guards import GUARDS

WORKERS: Final = 2
RUN_S: Final = 120
"""For the tests of one guard. One that hangs without its guard is red, too."""

GREEN_S: Final = 900
"""For the tests of all guards, which stand."""

LEFT_OUT: Final = (".git", ".venv", ".cache", ".dev", ".hypothesis", "__pycache__")
PYTEST: Final = (
    sys.executable, "-m", "pytest", "-q", "--no-header",
    "--hypothesis-profile=unshrunk", "--timeout=60",
)  # fmt: skip
PASSED, FAILED = 0, 1

_number = itertools.count(1)
Verdict = Literal["red", "SURVIVED", "BROKEN"]


@dataclass(frozen=True)
class Outcome:
    """BROKEN: the guard could not be taken out, or pytest could not run."""

    guard: Guard
    verdict: Verdict
    seconds: float
    told: str


class Copy:
    """A checkout of its own with a Valkey of its own; one guard at a time is missing from it."""

    def __init__(self, folder: Path, admin_url: str, children: list[Child]) -> None:
        folder.mkdir()
        self.root = folder / "copy"
        self.admin_url = admin_url
        self.environment = test.environment(admin_url, test.start_valkey(folder, children))
        self.template = self.environment["TEST_TEMPLATE"]
        shutil.copytree(database.ROOT, self.root, ignore=shutil.ignore_patterns(*LEFT_OUT))

    def try_without(self, guard: Guard) -> Outcome:
        began = time.monotonic()
        try:
            verdict, told = self._try_without(guard)
        except LostGuardError as error:
            verdict, told = "BROKEN", str(error)
        return Outcome(guard, verdict, time.monotonic() - began, told)

    def _try_without(self, guard: Guard) -> tuple[Verdict, str]:
        change = guard.from_files(self.root)
        if change is None:
            return self._without_in_database(guard)
        whole, modified = change.path.read_bytes(), change.path.stat().st_mtime
        change.path.write_text(change.text)
        try:
            return self._judge(guard, self.template)
        finally:
            change.path.write_bytes(whole)
            os.utime(change.path, (modified, modified))  # Compiled files go by it.

    def _without_in_database(self, guard: Guard) -> tuple[Verdict, str]:
        name = f"paywalls_mutant_{os.getpid()}_{next(_number)}"
        template, mutant = sql.Identifier(self.template), sql.Identifier(name)
        with psycopg.connect(self.admin_url, autocommit=True) as admin:
            admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(mutant, template))
            try:
                with psycopg.connect(self.admin_url, dbname=name) as schema:
                    guard.from_database(schema)
                return self._judge(guard, name)
            finally:
                admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(mutant))

    def _judge(self, guard: Guard, template: str) -> tuple[Verdict, str]:
        try:
            code, said = self.run(["-x", *guard.tests], template)
        except subprocess.TimeoutExpired:
            return "red", f"nothing within {RUN_S} s"
        red = [line for line in said.splitlines() if line.startswith(("FAILED ", "ERROR "))]
        if code == FAILED and red:
            return "red", red[0].partition(" ")[2].partition(" - ")[0]
        return ("SURVIVED", "") if code == PASSED else ("BROKEN", said[-2_000:])

    def run(
        self, arguments: Sequence[str], template: str, *, seconds: int = RUN_S
    ) -> tuple[int, str]:
        """Pytest's exit code and what it printed."""
        run = f"paywalls_test_{os.getpid()}_{next(_number)}"
        pytest = subprocess.Popen(
            [*PYTEST, *arguments],
            cwd=self.root,
            env={**os.environ, **self.environment, "TEST_TEMPLATE": template, "TEST_RUN": run},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            said, _ = pytest.communicate(timeout=seconds)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(pytest.pid, signal.SIGKILL)  # And what its tests have started.
            pytest.wait()
        return pytest.returncode, said


def main() -> int:
    asked = _arguments()
    chosen = [
        g
        for g in GUARDS
        if (not asked.only or g.name in asked.only) and (g.dear or not asked.quick)
    ]
    if asked.list:
        for guard in chosen:
            print(f"{guard.name:32} {guard.protects}")
        return 0
    end_on_signals()
    folder = Path(tempfile.mkdtemp(prefix="paywalls-mutation-"))
    children: list[Child] = []
    try:
        return take_out(chosen, folder, children)
    except NotStartedError as error:
        print(f"tests.mutation: {error}", file=sys.stderr)
        return 1
    finally:
        stop_all(children, timeout_s=10)
        shutil.rmtree(folder, ignore_errors=True)


def take_out(guards: Sequence[Guard], folder: Path, children: list[Child]) -> int:
    began = time.monotonic()
    admin_url = test.start_database(folder, children)
    copies: SimpleQueue[Copy] = SimpleQueue()
    for number in range(min(WORKERS, len(guards))):
        copies.put(Copy(folder / str(number), admin_url, children))
    if not is_green(copies, guards):
        return 1

    def work(guard: Guard) -> Outcome:
        copy = copies.get()
        try:
            outcome = copy.try_without(guard)
        finally:
            copies.put(copy)
        print(
            f"{outcome.verdict:9}{outcome.seconds:5.1f} s  {guard.name:32} {outcome.told}",
            flush=True,
        )
        return outcome

    with ThreadPoolExecutor(WORKERS) as workers:
        outcomes = list(workers.map(work, guards))
    bad = [outcome for outcome in outcomes if outcome.verdict != "red"]
    seconds = time.monotonic() - began
    print(f"{len(guards)} guards in {seconds:.0f} s; {len(bad)} of them are missed by no test.")
    for outcome in bad:
        print(f"{outcome.verdict} {outcome.guard.name}: {outcome.guard.protects}")
    return 1 if bad else 0


def is_green(copies: "SimpleQueue[Copy]", guards: Sequence[Guard]) -> bool:
    """Whether the tests pass with every guard in its place; else red would mean nothing."""
    copy = copies.get()
    named = sorted({named for guard in guards for named in guard.tests})
    patient = [f"--numprocesses={WORKERS}", f"--timeout={GREEN_S}"]
    code, said = copy.run([*patient, *named], copy.template, seconds=GREEN_S)
    copies.put(copy)
    if code != PASSED:
        print(f"{said[-5_000:]}\ntests.mutation: these tests fail with every guard in its place.")
    return code == PASSED


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only the dearest guards")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="only these")
    parser.add_argument("--list", action="store_true", help="only say which guards there are")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
