"""Every refusal of the public API's edge, and how decisions of the gate become refusals.

The codes are the contract: programs switch on them. templates/docs/errors.md explains each one.
"""

from collections.abc import Callable
from typing import ClassVar, Final

from billing.errors import IdempotencyMismatchError
from config.kit import ids
from config.kit.errors import PaywallsError
from config.kit.money import format_nanos
from paywalls.decisions import (
    Allowed,
    Decision,
    Limited,
    NeedsGrant,
    NeedsTopUp,
    Refused,
    Repeated,
)

AUTHENTICATION: Final = "authentication_error"
PERMISSION: Final = "permission_error"
RATE_LIMIT: Final = "rate_limit_error"
SERVER: Final = "api_error"
PAYMENT: Final = "payment_required"


class InvalidApiKeyError(PaywallsError):
    """No key, not one of ours, revoked or expired: which of them is not told."""

    status: ClassVar[int] = 401
    code: ClassVar[str] = "invalid_api_key"
    kind: ClassVar[str] = AUTHENTICATION

    def __init__(self, message: str = "") -> None:
        super().__init__(
            message
            or "This paywall key is not valid: it is mistyped, revoked or expired. Send"
            " `Authorization: Bearer sk-paywalls-v1-…` with a key of your paywall."
        )


class ScopeMissingError(PaywallsError):
    """The key is valid but may not do this."""

    status: ClassVar[int] = 403
    code: ClassVar[str] = "scope_missing"
    kind: ClassVar[str] = PERMISSION


class PaywallArchivedError(PaywallsError):
    """The paywall was closed by its owner for good."""

    status: ClassVar[int] = 403
    code: ClassVar[str] = "paywall_archived"
    kind: ClassVar[str] = PERMISSION

    def __init__(self) -> None:
        super().__init__("This paywall is archived. Use a key of another paywall.")


class PaywallPausedError(PaywallsError):
    """The paywall was paused by its owner."""

    status: ClassVar[int] = 403
    code: ClassVar[str] = "paywall_paused"
    kind: ClassVar[str] = PERMISSION

    def __init__(self) -> None:
        super().__init__("This paywall is paused. Its owner can resume it.")


class UserBlockedError(PaywallsError):
    """The developer blocked this end user."""

    status: ClassVar[int] = 403
    code: ClassVar[str] = "user_blocked"
    kind: ClassVar[str] = PERMISSION

    def __init__(self) -> None:
        super().__init__("This user is blocked on this paywall. Its owner can unblock them.")


class WrongModeError(PaywallsError):
    """The call belongs to the other mode of paywalls."""

    status: ClassVar[int] = 403
    code: ClassVar[str] = "wrong_mode"
    kind: ClassVar[str] = PERMISSION


class ModelNotAllowedError(PaywallsError):
    """The model exists, but paywall or key do not allow it."""

    status: ClassVar[int] = 403
    code: ClassVar[str] = "model_not_allowed"
    kind: ClassVar[str] = PERMISSION


class ModelNotFoundError(PaywallsError):
    """No connection of the paywall offers the model."""

    status: ClassVar[int] = 404
    code: ClassVar[str] = "model_not_found"


class ModelNotPricedError(PaywallsError):
    """The model has no price: never free by accident."""

    code: ClassVar[str] = "model_not_priced"


class MissingUserError(PaywallsError):
    """A call that moves or shows money does not say whose."""

    code: ClassVar[str] = "missing_user"

    def __init__(self) -> None:
        super().__init__(
            "Say which of your users this is for: `user` in the body (or in the query of a GET),"
            " the header `X-Paywall-User`, or the address `/v1/{user}/…`.",
            param="user",
        )


class PaymentsNotConfiguredError(PaywallsError):
    """There is no way to pay yet."""

    code: ClassVar[str] = "payments_not_configured"

    def __init__(self) -> None:
        super().__init__(
            "This paywall has no payment provider connected, so there is no top-up page."
            " Credit the user with `POST /v1/user/balance/deposit`."
        )


class NotFoundError(PaywallsError):
    """No such address, or no such thing for this key."""

    status: ClassVar[int] = 404
    code: ClassVar[str] = "not_found"


class MethodNotAllowedError(PaywallsError):
    """The address exists, for other methods."""

    status: ClassVar[int] = 405
    code: ClassVar[str] = "method_not_allowed"

    def __init__(self, allowed: tuple[str, ...]) -> None:
        super().__init__(f"This address answers {', '.join(allowed)} only.")
        self.allowed = allowed


class BodyTimeoutError(PaywallsError):
    """The body did not arrive in time."""

    status: ClassVar[int] = 408
    code: ClassVar[str] = "request_timeout"


class BodyTooLargeError(PaywallsError):
    """The body is longer than this address accepts. is_read: whether it has all arrived."""

    status: ClassVar[int] = 413
    code: ClassVar[str] = "request_too_large"

    def __init__(self, message: str, *, is_read: bool) -> None:
        super().__init__(message)
        self.is_read = is_read


class UnsupportedMediaTypeError(PaywallsError):
    """The body is not plain JSON: a form, another type, or compressed."""

    status: ClassVar[int] = 415
    code: ClassVar[str] = "unsupported_media_type"


class IdempotencyInProgressError(PaywallsError):
    """The first call with this Idempotency-Key still runs."""

    status: ClassVar[int] = 409
    code: ClassVar[str] = "idempotency_in_progress"


class AlreadyCompletedError(PaywallsError):
    """The call was made before; its answer is not kept."""

    status: ClassVar[int] = 409
    code: ClassVar[str] = "already_completed"


class LimitError(PaywallsError):
    """A limit that the developer set was reached. `limited` says which."""

    status: ClassVar[int] = 429
    code: ClassVar[str] = "rate_limited"
    kind: ClassVar[str] = RATE_LIMIT

    def __init__(self, limited: Limited) -> None:
        bound = f"{limited.limit}"
        if limited.kind.startswith("spend_"):
            bound = format_nanos(limited.limit)
        super().__init__(
            f"The limit {limited.kind} of {bound} for this {limited.subject} is reached."
            f" Try again in {limited.retry_after_s} s, or ask the developer to raise it.",
            retry_after_s=limited.retry_after_s,
            details={"limit": limited.kind, "subject": limited.subject},
        )
        self.limited = limited
        self.bound = bound


class ConcurrencyLimitError(LimitError):
    """Too many requests at the same time."""

    code: ClassVar[str] = "concurrency_limited"


class SpendLimitError(LimitError):
    """A spending limit of the day or month is reached."""

    code: ClassVar[str] = "spend_limit"


class TokenLimitError(LimitError):
    """A token limit is reached."""

    code: ClassVar[str] = "token_limit"


class PaymentError(PaywallsError):
    """What would be a message in message mode, as 402 with the same facts."""

    status: ClassVar[int] = 402
    code: ClassVar[str] = "topup_required"
    kind: ClassVar[str] = PAYMENT

    def __init__(self, message: str, *, url: str | None) -> None:
        super().__init__(message, details={"status": self.code, "url": url})


class DebtError(PaymentError):
    """A receivable is open; the next top-up pays it first."""

    code: ClassVar[str] = "debt"


class AuthorizationRequiredError(PaymentError):
    """The person has not authorized this paywall."""

    code: ClassVar[str] = "authorization_required"


class CapReachedError(PaymentError):
    """The person's own cap for this app is used up."""

    code: ClassVar[str] = "cap_reached"


class InternalServerError(PaywallsError):
    """A bug of ours; the log has it under the request id."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    kind: ClassVar[str] = SERVER

    def __init__(self) -> None:
        super().__init__("Something broke on our side. Report the request id with the time.")


class ShuttingDownError(PaywallsError):
    """The process is ending; another one answers the retry."""

    status: ClassVar[int] = 503
    code: ClassVar[str] = "shutting_down"
    kind: ClassVar[str] = SERVER

    def __init__(self) -> None:
        super().__init__("This server is restarting. Try again.", retry_after_s=1)


_LIMITS: Final = {
    "rate_limited": LimitError,
    "concurrency_limited": ConcurrencyLimitError,
    "spend_limit": SpendLimitError,
    "token_limit": TokenLimitError,
}
_PAYMENTS: Final[dict[str, type[PaymentError]]] = {
    error.code: error
    for error in (PaymentError, DebtError, AuthorizationRequiredError, CapReachedError)
}


_REFUSALS: Final[dict[str, Callable[[], PaywallsError]]] = {
    "invalid_api_key": InvalidApiKeyError,
    "paywall_archived": PaywallArchivedError,
    "paywall_paused": PaywallPausedError,
    "user_blocked": UserBlockedError,
}


def payment_required(status: str, message: str, *, url: str | None) -> PaymentError:
    """The 402 for a status of the contract, such as `topup_required` or `debt`."""
    return _PAYMENTS[status](message, url=url)


def limited(decision: Limited) -> LimitError:
    """The 429 of a limit that the developer set."""
    return _LIMITS[decision.code](decision)


def refused(decision: Refused) -> PaywallsError:
    """What closed since the snapshot was taken, in the words of the edge."""
    return _REFUSALS[decision.code]()


def refusal_of(decision: Decision) -> PaywallsError:
    """What a decision of the gate is to a caller, where it is neither a yes nor a matter of money.

    Money is a message or a 402 with a link: `payment_required`.
    """
    match decision:
        case Limited():
            return limited(decision)
        case Refused():
            return refused(decision)
        case Repeated():
            return repeated(decision)
        case Allowed() | NeedsTopUp() | NeedsGrant():
            raise AssertionError(decision)


def repeated(decision: Repeated) -> PaywallsError:
    """The refusal of a second call with one Idempotency-Key."""
    request = ids.encode("req", decision.request_id) if decision.request_id else None
    match decision.state:
        case "in_progress":
            return IdempotencyInProgressError(
                "The first request with this Idempotency-Key is still running. Try again.",
                retry_after_s=1,
            )
        case "mismatch":
            return IdempotencyMismatchError(
                "This Idempotency-Key was used for another request. Use a new key for each one."
            )
        case "completed":
            return AlreadyCompletedError(
                "The request with this Idempotency-Key is done and charged; its answer is not"
                " kept. `GET /v1/requests/{id}` shows it.",
                details={"request_id": request, "cost": format_nanos(decision.charged_nanos)},
            )
