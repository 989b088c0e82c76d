"""Refusals in Stripe's own form: status, type, code, message."""

from typing import Any


class ApiError(Exception):
    """What the caller gets instead of an object."""

    status = 400
    kind = "invalid_request_error"

    def __init__(self, message: str, *, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.message, self.code, self.param = message, code, param
        self.headers: dict[str, str] = {}

    def body(self) -> dict[str, Any]:
        error: dict[str, Any] = {"message": self.message, "type": self.kind}
        if self.code:
            error["code"] = self.code
            error["doc_url"] = f"https://stripe.com/docs/error-codes/{self.code.replace('_', '-')}"
        if self.param:
            error["param"] = self.param
        return {"error": error}


class InvalidKeyError(ApiError):
    """No such key, or one that is revoked."""

    status = 401


class PermissionMissingError(ApiError):
    """A restricted key that may not do this."""

    status = 403


class NotFoundError(ApiError):
    """No such object in this account and mode."""

    status = 404

    def __init__(self, name: str, given: str, *, param: str = "id") -> None:
        super().__init__(f"No such {name}: '{given}'", code="resource_missing", param=param)


class RateLimitError(ApiError):
    """Too many calls."""

    status = 429
    kind = "rate_limit_error"


class IdempotencyError(ApiError):
    """The same key with other parameters."""

    kind = "idempotency_error"


class KeyInUseError(ApiError):
    """The same key at the same moment."""

    status = 409
    kind = "idempotency_error"


class ServerError(ApiError):
    """Stripe's own fault."""

    status = 500
    kind = "api_error"


class CardError(ApiError):
    """A payment that was tried and did not succeed; `details` go into the error object."""

    status = 402
    kind = "card_error"

    def __init__(self, message: str, *, code: str, **details: Any) -> None:
        super().__init__(message, code=code)
        self.details = details

    def body(self) -> dict[str, Any]:
        body = super().body()
        body["error"] |= self.details
        return body
