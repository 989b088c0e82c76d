"""Runs the driver and reads what it prints."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.dev.process import NotStartedError
from tests.bench.cases import CHARGE, Case
from tests.bench.machine import Cores, pin
from tests.bench.programs import program

type Sample = Callable[[], None]

END_S = 60
"""How long the driver may take beyond its run, to let answers end."""


@dataclass(frozen=True)
class Drive:
    """One run: how often it was asked, how often that failed, and the figures by name."""

    answered: int
    failed: int
    example: str
    figures: dict[str, float]


def parse(printed: str) -> Drive:
    """What the driver's one JSON object says.

    Raises: NotStartedError when it is none.
    """
    try:
        told: dict[str, Any] = json.loads(printed)
        answered, failed, example = told.pop("answered"), told.pop("failed"), told.pop("example")
    except (ValueError, KeyError) as error:
        raise NotStartedError(f"the driver printed {printed[:200]!r}: {error!r}") from None
    return Drive(answered, failed, example, {name: float(value) for name, value in told.items()})


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a target listens and what it wants to hear.

    users: over how many wallets requests are spread. user: one for all, in the place of that.
    """

    port: int
    headers: tuple[str, ...] = ()
    model_prefix: str = ""
    users: int = 0
    user: str = ""


def command(case: Case, address: Address, body: Path, seconds: float) -> list[str]:
    """The driver's own, for this case and target; the body goes to a file first."""
    body.write_bytes(case.body(address.model_prefix))
    one_user = case.user or address.user
    headers = [*address.headers, *([f"X-Paywall-User: {one_user}"] if one_user else [])]
    options = {
        "--port": address.port,
        "--path": case.path,
        "--clients": case.clients,
        "--seconds": seconds,
        "--warm-up": case.warm_up_s,
        "--ramp": case.ramp_s,
        "--body": body,
        "--expect": case.expect,
        "--users": 0 if one_user else address.users,
    }
    words = [str(program("load"))]
    words += [str(word) for pair in options.items() for word in pair]
    words += [word for header in headers for word in ("--header", header)]
    words += ["--stream"] if case.stream else []
    words += ["--keys"] if case.path == CHARGE else []
    return words


def drive(words: list[str], *, cores: Cores, sample_after_s: float, sample: Sample) -> Drive:
    """Run it on these cores; `sample` is called once, while it asks."""
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        pin(process.pid, cores)
        try:
            printed, errors = process.communicate(timeout=sample_after_s)
        except subprocess.TimeoutExpired:
            sample()
            printed, errors = process.communicate(timeout=sample_after_s + END_S)
    finally:
        process.kill()
    if process.returncode:
        raise NotStartedError(f"the driver failed: {errors.strip()}")
    return parse(printed)
