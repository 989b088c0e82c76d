"""What becomes of a delivery after an attempt. Pure."""

import random
from dataclasses import dataclass
from typing import Final, Literal

ATTEMPTS_MAX: Final = 8
FIRST_RETRY_S: Final = 30.0
JITTER: Final = 0.2
"""A retry comes up to this part sooner or later, so that those of one outage spread."""
RETRY_AFTER_S_MAX: Final = 3_600.0
"""A receiver may ask for this much patience; more is taken for this."""
FINAL: Final = frozenset({400, 401, 403, 404, 410, 422})
"""Answers that a repetition would not change."""
GONE: Final = 410
"""Ends the subscription too: the receiver says that it will never be back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one attempt went. code: None when no answer came. error: in words, "" for 2xx."""

    code: int | None
    error: str = ""
    response: str = ""
    latency_ms: int = 0
    retry_after_s: float | None = None
    is_final: bool = False

    @property
    def is_success(self) -> bool:
        return self.code is not None and 200 <= self.code < 300 and not self.error


@dataclass(frozen=True, slots=True)
class Verdict:
    """status: what the delivery is now; pending ones are tried again in `retry_s`."""

    status: Literal["pending", "success", "error"]
    retry_s: float = 0.0


def judge(outcome: Outcome, *, attempts: int, spread: float | None = None) -> Verdict:
    """What to do after the attempt with this number. spread: -1 to 1, drawn unless given.

    >>> judge(Outcome(code=500), attempts=3, spread=0.0)
    Verdict(status='pending', retry_s=120.0)
    """
    if outcome.is_success:
        return Verdict("success")
    if outcome.is_final or outcome.code in FINAL or attempts >= ATTEMPTS_MAX:
        return Verdict("error")
    if spread is None:
        spread = random.uniform(-1, 1)  # noqa: S311 - nothing secret
    wait_s = FIRST_RETRY_S * 2 ** (attempts - 1) * (1 + JITTER * spread)
    asked_s = min(outcome.retry_after_s or 0.0, RETRY_AFTER_S_MAX)
    return Verdict("pending", max(wait_s, asked_s))
