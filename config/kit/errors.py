"""The root of all refusals. Each app's errors.py has its own; the edges translate them once."""

from collections.abc import Mapping
from typing import ClassVar


class PaywallsError(Exception):
    """A refusal that a caller can do something about.

    status: HTTP status. code: what programs switch on; never changes once released.
    kind: OpenAI's error type. retry_after_s is sent as Retry-After. param names the field.
    details: further fields of the error object, such as a request id.
    """

    status: ClassVar[int] = 400
    code: ClassVar[str] = "invalid_request_error"
    kind: ClassVar[str] = "invalid_request_error"

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        retry_after_s: int | None = None,
        details: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s
        self.details = dict(details or {})


class InvalidRequestError(PaywallsError):
    """A field is missing or malformed: `param` names it."""
