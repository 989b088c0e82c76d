"""The key of a request: read, looked up, and asked whether it may do this now."""

from proxy.errors import (
    InvalidApiKeyError,
    PaywallArchivedError,
    PaywallPausedError,
    ScopeMissingError,
)
from proxy.requests import Headers
from proxy.snapshot import Caller, Snapshots


async def authenticate(snapshots: Snapshots, headers: Headers) -> Caller:
    """The caller behind the bearer token.

    Raises: InvalidApiKeyError.
    """
    scheme, _, token = headers.get("authorization", "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise InvalidApiKeyError("No paywall key. Send `Authorization: Bearer sk-paywalls-v1-…`.")
    return await snapshots.caller(token)


def authorize(caller: Caller, *, scope: str, spends: bool) -> None:
    """Refuse what key or paywall do not permit. A paused paywall still shows and takes in money.

    Raises: PaywallArchivedError; PaywallPausedError; ScopeMissingError.
    """
    if caller.paywall.archived:
        raise PaywallArchivedError
    if spends and caller.paywall.paused:
        raise PaywallPausedError
    if not caller.key.may(scope):
        raise ScopeMissingError(
            f"This key lacks the scope `{scope}`. Make a key that has it, or one without scopes."
        )
