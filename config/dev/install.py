"""Makes `.venv` from the lock. Runs with nothing but the standard library, before all else.

Usage: python config/dev/install.py
"""

import fcntl
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LOCK = ROOT / "requirements-dev.lock"
STAMP = VENV / "installed.lock"
FREE_BYTES_LEAST = 800 * 1024 * 1024


def main() -> int:
    """Install, and say in one line what stopped it."""
    try:
        if shutil.disk_usage(ROOT).free < FREE_BYTES_LEAST:
            return fail(f"less than 800 MB free on the disk of {ROOT}: free some and try again.")
        with (ROOT / ".venv.lock").open("w") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            if not is_installed():
                install()
    except OSError as error:
        return fail(f"cannot write {error.filename or ROOT}: {error.strerror}.")
    except KeyboardInterrupt:
        return 130
    except subprocess.CalledProcessError as error:
        return fail(f"installing the requirements failed (exit {error.returncode}), see above.")
    return 0


def fail(reason: str) -> int:
    print(f"./run: {reason}", file=sys.stderr)
    return 1


def is_installed() -> bool:
    """The lock copied beside what it installed is the stamp: it is written last."""
    return PYTHON.exists() and STAMP.exists() and STAMP.read_bytes() == LOCK.read_bytes()


def install() -> None:
    """Bring the environment to the lock's state; a failed try leaves no stamp."""
    began = time.monotonic()
    STAMP.unlink(missing_ok=True)
    if not works():
        print(f"Making .venv with Python {sys.version.split()[0]} …", flush=True)
        shutil.rmtree(VENV, ignore_errors=True)
        run(sys.executable, "-m", "venv", VENV)
    print("Installing the requirements (some 450 MB, once) …", flush=True)
    try:
        install_with_uv()
    except subprocess.CalledProcessError:
        print("uv could not; pip takes a minute …", flush=True)
        run(PYTHON, "-m", "pip", "install", "-qq", "--require-hashes", "-r", LOCK)
    shutil.copyfile(LOCK, STAMP)
    print(f"Installed in {time.monotonic() - began:.0f} s.", flush=True)


def works() -> bool:
    """A folder copied from elsewhere, or made by a Python that is gone, is made anew."""
    try:
        subprocess.run([PYTHON, "-c", "import pip"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def install_with_uv() -> None:
    """Let pip fetch uv alone, by the lock's hashes; uv is ten times as fast with the rest."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as only_uv:
        only_uv.write(locked("uv"))
        only_uv.flush()
        run(PYTHON, "-m", "pip", "install", "-qq", "--require-hashes", "-r", only_uv.name)
    uv = (PYTHON, "-m", "uv", "pip", "sync", "--quiet", "--python", PYTHON)
    run(*uv, "--require-hashes", LOCK)


def locked(name: str) -> str:
    """The lock's own lines for one package."""
    match = re.search(rf"^{name}==.*\n(?:    .*\n)*", LOCK.read_text(), re.MULTILINE)
    assert match, name
    return match[0]


def run(*command: str | Path) -> None:
    # uv brings its own list of authorities, which lacks those of a company's proxy.
    settings = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "UV_SYSTEM_CERTS": "1"}
    if not os.access(pwd.getpwuid(os.getuid()).pw_dir, os.W_OK):
        settings["UV_NO_CACHE"] = "1"
    subprocess.run(command, check=True, env={**os.environ, **settings}, cwd=ROOT)


if __name__ == "__main__":
    sys.exit(main())
