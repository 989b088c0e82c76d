"""The folder that holds a demo: its data, secrets, ports and logs."""

import base64
import errno
import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from config.dev.process import NotStartedError
from config.dev.servers import can_bind, free_port, write_secret

FREE_BYTES_LEAST = 300 * 1024 * 1024


@dataclass(frozen=True)
class State:
    """Paths of the folder, and what is kept in it."""

    folder: Path

    @property
    def environment_file(self) -> Path:
        return self.folder / "env"

    @property
    def demo_file(self) -> Path:
        return self.folder / "demo.json"

    def log(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"

    def prepare(self) -> None:
        """Make the folders; only their owner may look inside.

        Others may pass through, because PostgreSQL may have to run as another user.
        """
        self.folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        for name in ("logs", "postgres", "valkey"):
            (self.folder / name).mkdir(mode=0o700, exist_ok=True)
        if shutil.disk_usage(self.folder).free < FREE_BYTES_LEAST:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.folder))

    def secrets(self) -> dict[str, str]:
        """Made once per folder, then kept."""
        path = self.folder / "secrets.json"
        if not path.exists():
            made = {
                "SECRET_KEY": secrets.token_urlsafe(48),
                "ENCRYPTION_KEYS": _random_key(),
                "KEY_PEPPERS": f"1:{_random_key()}",
            }
            write_whole(path, json.dumps(made))
        kept: dict[str, str] = json.loads(path.read_text())
        return kept

    def ports(self, *names: str) -> dict[str, int]:
        """Free ports; the same as last time where they still are free."""
        path = self.folder / "ports.json"
        kept: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
        chosen = {
            name: kept[name] if name in kept and can_bind(kept[name]) else free_port()
            for name in names
        }
        write_whole(path, json.dumps(kept | chosen))
        return chosen

    def read_environment(self) -> dict[str, str]:
        lines = self.environment_file.read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def write_environment(self, environment: Mapping[str, str]) -> None:
        lines = [f"{name}={value}\n" for name, value in environment.items()]
        write_whole(self.environment_file, "".join(lines))

    @contextmanager
    def taken(self) -> Iterator[bool]:
        """True inside when nobody else runs on this folder; released by the system at our end."""
        with (self.folder / "lock").open("w") as lock:
            yield _try_lock(lock)


def _try_lock(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def state_of_environment() -> State:
    """The folder that PAYWALLS_STATE names."""
    return State(Path(os.environ.get("PAYWALLS_STATE") or ".dev").resolve())


def write_whole(path: Path, value: str) -> None:
    """A reader sees the old file or the new one, never half; nobody else can read it."""
    draft = path.with_name(f".{path.name}.draft")
    write_secret(draft, value)
    draft.replace(path)


def _random_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def in_one_line(error: OSError) -> NotStartedError:
    """A disk that is full and a folder that is not ours, in words that say what to do."""
    where = error.filename or "the state folder"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NotStartedError(
            f"the disk of {where} is full: free at least 300 MB,"
            " or set PAYWALLS_STATE to a folder on another disk."
        )
    if error.errno in (
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ENOTDIR,
        errno.ENOENT,
        errno.EEXIST,
    ):
        return NotStartedError(
            f"cannot write {where} ({error.strerror}): set PAYWALLS_STATE to a folder of yours."
        )
    return NotStartedError(f"{error.strerror or error}: {where}")
