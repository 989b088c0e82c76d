"""`./run faults …`: every test that proves a number of `tests/support/numbers.py`, the long ones
too; then the guards of the product taken out one at a time; then the table of numbers.

`--only-long` leaves out the tests that `./run test` runs as well. Other arguments go to pytest;
with any, only the table of those tests is printed, and no guard is taken out.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from config.dev import database, test
from config.dev.process import INTERRUPTED

ONLY_LONG: Final = "--only-long"
TESTS_S: Final = 1_500
"""The longest that the tests may take together; after it no further one begins."""

GUARDS_S: Final = 900
"""The longest that the guards may take. Both are four times what a quiet machine needs."""


def main(arguments: list[str]) -> int:
    began = time.monotonic()
    chosen = "proves and long" if ONLY_LONG in arguments else "proves"
    arguments = [each for each in arguments if each != ONLY_LONG]
    with tempfile.TemporaryDirectory(prefix="paywalls-faults-") as folder:
        table = Path(folder) / "proofs.json"
        wanted = ["-m", chosen, f"--session-timeout={TESTS_S}", f"--proofs-json={table}"]
        failed = test.main([*wanted, *arguments])
        if failed == INTERRUPTED or not table.exists():
            return failed
        outcome = [] if arguments else [f"F84={take_guards_out()}"]
        show = [sys.executable, "-m", "tests.support.proofs", str(table), *outcome]
        failed |= subprocess.run(show, cwd=database.ROOT, check=False).returncode
    print(f"./run faults took {(time.monotonic() - began) / 60:.1f} minutes.")
    return failed


def take_guards_out() -> str:
    """Whether tests went red for each guard that was missing."""
    command = [sys.executable, "-m", "tests.mutation", "--quick"]
    try:
        done = subprocess.run(command, cwd=database.ROOT, check=False, timeout=GUARDS_S)
    except subprocess.TimeoutExpired:
        print(f"./run faults: the guards took longer than {GUARDS_S} s", file=sys.stderr)
        return "failed"
    return "failed" if done.returncode else "passed"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
