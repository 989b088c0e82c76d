"""Failures on demand: the next calls to a path answer as a test wants it."""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

from tests.fakes.stripe.errors import ApiError, RateLimitError, ServerError

KINDS: Final = (
    "429",
    "lock_timeout",
    "restricted",
    "500",
    "500_after",
    "timeout",
    "timeout_after",
    "slow",
)
"""429, lock_timeout and restricted (the account may take no payments) are refused before anything
happens. 500: begun, nothing done. 500_after: done, and yet a 500; both are what the idempotency key
answers from then on. timeout: no answer, nothing done. timeout_after: done, no answer. slow: done
and answered after `seconds`."""


@dataclass
class Fault:
    """One order to fail."""

    kind: str
    path: str = "*"
    """With `*` for anything, as in `/v1/checkout/*`."""
    method: str = "*"
    times: int = 1
    seconds: float = 30
    """How long `timeout`s hold the line unless the client hangs up first, and `slow` takes."""

    @classmethod
    def of(cls, given: dict[str, Any]) -> "Fault":
        """Raises: ApiError"""
        kind = str(given.get("kind"))
        if kind not in KINDS:
            raise ApiError(f"Invalid kind: must be one of {', '.join(KINDS)}", param="kind")
        unknown = given.keys() - cls.__dataclass_fields__.keys()
        if unknown:
            raise ApiError(f"Received unknown parameter: {min(unknown)}")
        return cls(**{**given, "kind": kind})

    def fits(self, method: str, path: str) -> bool:
        return fnmatchcase(path, self.path) and self.method in ("*", method)


def take(faults: list[Fault], method: str, path: str) -> Fault | None:
    """The first order that fits, used once."""
    for fault in faults:
        if fault.fits(method, path):
            fault.times -= 1
            if fault.times <= 0:
                faults.remove(fault)
            return fault
    return None


def refuse_before(fault: Fault) -> None:
    """Raises: RateLimitError for the kinds that never begin."""
    if fault.kind == "429":
        raise RateLimitError("Request rate limit exceeded.", code="rate_limit")
    if fault.kind == "lock_timeout":
        error = RateLimitError(
            "This object cannot be accessed right now because another API request or Stripe process"
            " is currently accessing it.",
            code="lock_timeout",
        )
        error.headers["stripe-should-retry"] = "true"
        raise error

    if fault.kind == "restricted":
        raise ApiError(
            "Your account cannot currently make live charges.", code="testmode_charges_only"
        )


def server_error() -> ServerError:
    return ServerError("An unknown error occurred.")
