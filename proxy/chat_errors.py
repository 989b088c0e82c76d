"""Refusals that only chat knows. The others stand in proxy/errors.py."""

from typing import ClassVar

from config.kit.errors import PaywallsError
from config.kit.money import format_nanos


class MaxCostExceededError(PaywallsError):
    """The shortest answer could cost more than the caller's X-Paywall-Max-Cost."""

    code: ClassVar[str] = "max_cost_exceeded"

    def __init__(self, *, least_nanos: int) -> None:
        super().__init__(
            f"Even a short answer could cost {format_nanos(least_nanos)}. Raise the header"
            " X-Paywall-Max-Cost, or send a shorter prompt or a cheaper model.",
            details={"least": format_nanos(least_nanos)},
        )


class BudgetExhaustedError(PaywallsError):
    """The provider went on after the money that was set aside for the request was used up."""

    status: ClassVar[int] = 502
    code: ClassVar[str] = "budget_exhausted"
    kind: ClassVar[str] = "api_error"

    def __init__(self) -> None:
        super().__init__(
            "The provider sent more than it was asked for, so its answer was cut off where the"
            " money set aside for it ended."
        )


class TooSlowError(PaywallsError):
    """The whole request, its slow reader included, took longer than the connection allows."""

    status: ClassVar[int] = 504
    code: ClassVar[str] = "request_too_slow"
    kind: ClassVar[str] = "api_error"

    def __init__(self) -> None:
        super().__init__("The answer took too long to deliver. Ask for a shorter one.")
