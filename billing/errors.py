"""Billing's refusals."""

from typing import ClassVar, Final

from config.kit.errors import PaywallsError

WALLET_FULL: Final = "No wallet can hold that much; several users can."
"""The database's numbers end at nine billion units (SQLSTATE 22003)."""


class GateUnavailableError(PaywallsError):
    """The database cannot be reached: nothing is dispatched that cannot be booked."""

    status: ClassVar[int] = 503
    code: ClassVar[str] = "platform_unavailable"
    kind: ClassVar[str] = "api_error"


class UnknownChargeError(PaywallsError):
    """There is no charge under this id."""

    status: ClassVar[int] = 404
    code: ClassVar[str] = "charge_not_found"


class RefundTooLargeError(PaywallsError):
    """All refunds of a charge together would pass it."""

    code: ClassVar[str] = "refund_too_large"


class IdempotencyMismatchError(PaywallsError):
    """The Idempotency-Key (or reference) was used before, for something else."""

    status: ClassVar[int] = 422
    code: ClassVar[str] = "idempotency_mismatch"


class InsufficientFundsError(PaywallsError):
    """The wallet cannot pay a manual charge."""

    status: ClassVar[int] = 402
    code: ClassVar[str] = "insufficient_funds"


class MovementRefusedError(PaywallsError):
    """A movement by hand met a closed paywall or a blocked user."""

    status: ClassVar[int] = 403
    code: ClassVar[str] = "movement_refused"


class CreditLineInUseError(PaywallsError):
    """A credit line cannot be withdrawn below what is already used."""

    status: ClassVar[int] = 409
    code: ClassVar[str] = "credit_line_in_use"
