"""Format and lint the templates. With --check nothing is rewritten."""

import subprocess
import sys
from pathlib import Path

from config.dev.database import ROOT

DJANGO = "6.1"
DJADE = Path(sys.executable).parent / "djade"


def main(arguments: list[str]) -> int:
    templates = sorted(str(path) for path in (ROOT / "templates").rglob("*.html"))
    if not templates:
        return 0
    checks = ["--check"] if "--check" in arguments else []
    commands: tuple[list[str | Path], ...] = (
        [DJADE, "--target-version", DJANGO, *checks, *templates],
        [sys.executable, "-m", "djlint", "--lint", "--quiet", *templates],
    )
    failed = 0
    for command in commands:
        done = subprocess.run(command, cwd=ROOT, check=False)
        failed = failed or done.returncode
    # After rewriting, djade's exit code says only that it did.
    return failed if checks else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
