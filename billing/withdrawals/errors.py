"""Refusals about earnings and withdrawals."""

from typing import ClassVar

from config.kit.errors import PaywallsError


class InsufficientEarningsError(PaywallsError):
    """More than is cleared and free."""

    status: ClassVar[int] = 409
    code: ClassVar[str] = "insufficient_earnings"


class WithdrawalTooSmallError(PaywallsError):
    """Less than the operator's minimum, or than the fee."""

    code: ClassVar[str] = "withdrawal_too_small"


class NoDestinationError(PaywallsError):
    """The team has not said where its earnings go."""

    code: ClassVar[str] = "no_destination"


class NotAllowedError(PaywallsError):
    """The developer's role in the team does not allow it."""

    status: ClassVar[int] = 403
    code: ClassVar[str] = "role_not_allowed"


class SecondPersonError(PaywallsError):
    """Who asked for a withdrawal does not approve it."""

    status: ClassVar[int] = 403
    code: ClassVar[str] = "second_person_needed"


class UnknownWithdrawalError(PaywallsError):
    """There is no withdrawal under this id."""

    status: ClassVar[int] = 404
    code: ClassVar[str] = "withdrawal_not_found"


class WithdrawalStateError(PaywallsError):
    """The withdrawal is not where it would have to be for this."""

    status: ClassVar[int] = 409
    code: ClassVar[str] = "withdrawal_state"


class PayoutsUnavailableError(PaywallsError):
    """The operator has not connected what pays this kind of destination."""

    status: ClassVar[int] = 503
    code: ClassVar[str] = "payouts_unavailable"
    kind: ClassVar[str] = "api_error"
