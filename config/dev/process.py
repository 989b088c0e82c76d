"""Child processes that never outlive the one that started them."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

PR_SET_PDEATHSIG = 1
TAIL_LINES = 15
TAIL_BYTES = 64 * 1024
LOG_BYTES_MAX = 20 * 1024 * 1024

_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


UVICORN = (
    *(sys.executable, "-m", "config.serve", "--loop=uvloop", "--http=config.protocol:Protocol"),
    *("--ws=none", "--no-access-log", "--no-proxy-headers"),
)
"""The server as production runs it."""

INTERRUPTED = 130
"""The exit code that shells expect after Ctrl-C."""


class NotStartedError(Exception):
    """What stopped the start, as one line that says what to do."""


@dataclass(kw_only=True)
class Child:
    """One started program and where it writes.

    stop_signal: what makes it end at once and cleanly.
    as_other: run in the child before the program, to give up root.
    """

    name: str
    command: Sequence[str | Path]
    log: Path
    environment: Mapping[str, str] | None = None
    folder: Path | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    as_other: Callable[[], None] | None = None
    process: subprocess.Popen[bytes] = field(init=False)

    def start(self) -> "Child":
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES_MAX:
            self.log.replace(self.log.with_suffix(".old.log"))
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=None if self.environment is None else dict(self.environment),
                cwd=self.folder,
                # A Ctrl-C in the terminal reaches the supervisor alone, which stops all in order.
                process_group=0,
                preexec_fn=self._prepare,  # noqa: PLW1509 - there are no threads.
            )
        return self

    def _prepare(self) -> None:
        """In the child, after the fork. Giving up root clears the death signal, so that is last."""
        if self.as_other:
            self.as_other()
        if _libc:
            _libc.prctl(PR_SET_PDEATHSIG, self.stop_signal)

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def stop(self) -> None:
        if self.is_running:
            self.process.send_signal(self.stop_signal)

    def wait(self, timeout_s: float) -> None:
        """Wait for the end after `stop`; who does not end in time is killed with its children."""
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def death(self) -> NotStartedError:
        """Says which program ended, with the end of its log."""
        return NotStartedError(
            f"{self.name} ended (exit {self.process.returncode})."
            f" The end of {self.log}:\n{self.tail()}"
        )

    def tail(self) -> str:
        with self.log.open("rb") as log:
            log.seek(max(self.log.stat().st_size - TAIL_BYTES, 0))
            text = log.read(TAIL_BYTES).decode(errors="replace")
        lines = text.splitlines()[-TAIL_LINES:]
        return "\n".join(f"    {line}" for line in lines)


def wait_until(
    ready: Callable[[], bool], *, children: Sequence[Child], timeout_s: float, what: str
) -> None:
    """Ask `ready` until it is true.

    Raises: NotStartedError when a child dies or the time is over.
    """
    ends = time.monotonic() + timeout_s
    while not ready():
        for child in children:
            if not child.is_running:
                raise child.death()
        if time.monotonic() > ends:
            logs = ", ".join(str(child.log) for child in children)
            raise NotStartedError(f"{what} did not answer within {timeout_s:.0f} s; see {logs}.")
        time.sleep(0.05)


def end_on_signals() -> None:
    """Let SIGTERM unwind like Ctrl-C, so that servers stop and folders go."""

    def unwind(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, unwind)


def stop_all(children: Sequence[Child], *, timeout_s: float) -> None:
    """Stop together; wait for each."""
    for child in children:
        child.stop()
    ends = time.monotonic() + timeout_s
    for child in children:
        child.wait(max(0.1, ends - time.monotonic()))
