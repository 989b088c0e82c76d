"""What can go wrong between us and a model provider.

    ProviderError            502 upstream_error         any of them
    ├── RejectedError        4xx, the provider's code   the provider refuses what the caller sent
    ├── AccountError         502 provider_auth          it refuses the key, or the account is empty
    ├── BusyError            429 upstream_rate_limited  it asks to wait; transient
    ├── UnreachableError     502 upstream_error         no connection was made; transient
    ├── FailedError          502 upstream_error         it answered 5xx or nonsense; transient
    │   └── CutError         502 upstream_error         it broke off in the middle
    ├── LateError            504 upstream_timeout       a limit of `Timeouts` passed; transient
    └── OversizeError        502 upstream_error         it sent more than we accept

Messages never hold the provider's key, address or raw body.
"""

import re
from typing import ClassVar, Final

from config.kit.errors import PaywallsError

MESSAGE_CHARS_MAX: Final = 500
_CODE: Final = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)
_SECRETS: Final = re.compile(
    r"(?i)\b[a-z][a-z0-9+.-]*://[^\s\"'<>)]+"
    r"|\b(?:sk|pk|rk|xai|gsk|key|org|proj)[-_][A-Za-z0-9*._-]{6,}"
    r"|\bbearer\s+\S+"
    r"|\b[\w.-]+\.(?:local|internal|lan)\b(?::\d+)?"
    r"|\b\d{1,3}(?:\.\d{1,3}){3}\b(?::\d+)?"
)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


class ProviderError(PaywallsError):
    """A provider did not do what was asked.

    transient: another connection, or the same one later, may do better.
    consumed: the provider may have worked (and bills for it), so the client must not repeat by
    itself: the answer carries `x-should-retry: false`.
    """

    status: ClassVar[int] = 502
    code: ClassVar[str] = "upstream_error"
    kind: ClassVar[str] = "api_error"
    transient: ClassVar[bool] = False

    def __init__(
        self, message: str, *, consumed: bool = False, retry_after_s: int | None = None
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.consumed = consumed


class RejectedError(ProviderError):
    """The caller's request is wrong in the provider's eyes: its own status, code and words."""

    status: ClassVar[int] = 400
    code: ClassVar[str] = "upstream_rejected"
    kind: ClassVar[str] = "invalid_request_error"

    def __init__(
        self, message: str, *, status: int = 400, code: str | None = None, param: str | None = None
    ) -> None:
        super().__init__(message)
        assert 400 <= status < 500, status
        self.param = param
        # The provider's status and code stand in for the class's: clients switch on them.
        self.__dict__["status"] = status
        if code and _CODE.fullmatch(code):
            self.__dict__["code"] = code


class AccountError(ProviderError):
    """The provider refuses the key or the account: the developer must act, not the caller.

    trouble: what to note on the connection, for the developer's eyes.
    """

    code: ClassVar[str] = "provider_auth"

    def __init__(self, trouble: str) -> None:
        super().__init__(
            "The provider refuses the key that this paywall uses. "
            "Its owner has been told; nothing was charged."
        )
        self.trouble = trouble


class BusyError(ProviderError):
    """The provider asks to wait; `retry_after_s` says how long, if it did."""

    status: ClassVar[int] = 429
    code: ClassVar[str] = "upstream_rate_limited"
    kind: ClassVar[str] = "rate_limit_error"
    transient: ClassVar[bool] = True


class UnreachableError(ProviderError):
    """No connection: the name does not resolve, nobody listens, TLS fails, or it is refused."""

    transient: ClassVar[bool] = True


class FailedError(ProviderError):
    """The provider answered with a failure of its own, or with something that is no answer."""

    transient: ClassVar[bool] = True


class CutError(FailedError):
    """The provider broke off before its answer was whole."""


class LateError(ProviderError):
    """The provider took longer than the connection's timeouts allow."""

    status: ClassVar[int] = 504
    code: ClassVar[str] = "upstream_timeout"
    transient: ClassVar[bool] = True


class OversizeError(ProviderError):
    """The provider sent more than we accept."""


def scrub(text: str) -> str:
    """A provider's own words, without addresses and keys, on one line, bounded.

    >>> scrub("Incorrect API key provided: sk-abcdefgh1234. See https://x.example/keys\\n")
    'Incorrect API key provided: [removed] See [removed]'
    """
    line = _CONTROL.sub(" ", text[: 4 * MESSAGE_CHARS_MAX]).strip()
    clean = _SECRETS.sub("[removed]", line)
    return clean if len(clean) <= MESSAGE_CHARS_MAX else clean[: MESSAGE_CHARS_MAX - 1] + "…"
