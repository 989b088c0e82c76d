"""The driver and the stub, compiled from the C beside this file; environments of their own."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from config.dev.database import ROOT
from config.dev.process import NotStartedError

CACHE = ROOT / ".cache" / "bench"
SOURCES = Path(__file__).parent
COMPILERS = ("cc", "gcc", "clang")
TAIL_LINES = 5


def program(name: str) -> Path:
    """`load` or `stub`, compiled once for each state of its source.

    Raises: NotStartedError when there is no compiler, or when it fails.
    """
    source = SOURCES / f"{name}.c"
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:12]
    binary = CACHE / f"{name}-{digest}"
    if not binary.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        draft = binary.with_suffix(f".{os.getpid()}")
        run_or_fail([*compiler(), "-O2", "-o", str(draft), str(source)], f"compiling {source.name}")
        draft.replace(binary)
    return binary


def compiler() -> list[str]:
    """The machine's, or the one in the `ziglang` wheel."""
    for name in COMPILERS:
        if found := shutil.which(name):
            return [found]
    try:
        python = python_environment("zig", "ziglang")
    except NotStartedError as error:
        raise NotStartedError(
            "no C compiler found: install one (say, apt install gcc), or let pip reach the"
            f" package ziglang, which has one. {error}"
        ) from None
    return [str(python), "-m", "ziglang", "cc"]


def python_environment(name: str, requirement: str) -> Path:
    """The Python of an environment that has this requirement; made once, and kept.

    Raises: NotStartedError with the end of what pip said.
    """
    folder = CACHE / name
    python, stamp = folder / "bin" / "python", folder / "installed"
    if not stamp.exists():
        print(f"Installing {requirement} into {folder.relative_to(ROOT)} …", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        run_or_fail([sys.executable, "-m", "venv", str(folder)], f"making {folder}")
        pip = [str(python), "-m", "pip", "install", "--quiet", requirement]
        run_or_fail(pip, f"installing {requirement}")
        stamp.touch()
    return python


def run_or_fail(command: list[str], what: str, *, folder: Path | None = None) -> str:
    """What the command printed.

    Raises: NotStartedError with the end of what it said.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    if done.returncode:
        told = (done.stderr.strip() or done.stdout.strip()).splitlines()[-TAIL_LINES:]
        raise NotStartedError("\n    ".join([f"{what} failed (exit {done.returncode}).", *told]))
    return done.stdout
