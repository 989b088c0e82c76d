"""One harmless GET to a provider, outside the hot path: whether it is there and takes the key."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any, Final

import httpx
import orjson

from config.kit import egress
from config.kit.db import forbid_transaction
from providers import catalog, network
from providers.adapters.registry import ADAPTERS
from providers.errors import FailedError, LateError, OversizeError, UnreachableError
from providers.models import Connection

TIMEOUT_S: Final = 10.0
TOTAL_S: Final = 30.0
ANSWER_BYTES_MAX: Final = 8 * 1024 * 1024
"""OpenRouter's list of models is about half a megabyte."""


def get(connection: Connection, path: str) -> Any:
    """The JSON that a provider answers with.

    path: below the base URL, `/models`. Goes where the hot path goes: one look-up, every address
    checked, the checked address connected to, no redirects, nothing from the environment.

    Raises: DestinationRefusedError, ProviderError, crypto.SealError.
    """
    forbid_transaction()
    rules = network.policy()
    destination = egress.parse(catalog.base_url(connection), rules)
    key = catalog.unseal_key(connection, destination.origin)
    adapter = ADAPTERS[connection.kind]
    with _translated():
        address = egress.resolve_now(destination.host, destination.port, rules)[0]
        request = httpx.Request(
            "GET",
            destination.pinned_url(address).rstrip("/") + path,
            headers={
                "Host": destination.authority,
                "Accept-Encoding": "identity",
                **adapter.probe_headers(key),
            },
            extensions={
                "sni_hostname": destination.host,
                "timeout": httpx.Timeout(TIMEOUT_S).as_dict(),
            },
        )
        with httpx.Client(trust_env=False, follow_redirects=False) as client:
            response = client.send(request, stream=True)
            body = _read(response)
    if response.status_code >= 300:
        headers = {name.lower(): value for name, value in response.headers.raw}
        raise adapter.error(response.status_code, headers, body)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise FailedError("The answer is not JSON: is this the base URL of its API?") from None


def _read(response: httpx.Response) -> bytes:
    body = bytearray()
    ends_at = time.monotonic() + TOTAL_S
    for piece in response.iter_raw():
        body += piece
        if time.monotonic() > ends_at:
            raise LateError("The provider's answer takes too long.")
        if len(body) > ANSWER_BYTES_MAX:
            raise OversizeError("The provider's answer is too large.")
    return bytes(body)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Errors of httpx and of the resolver as ours: theirs would name addresses."""
    try:
        yield
    except httpx.TimeoutException:
        raise UnreachableError(f"No answer within {TIMEOUT_S:.0f} seconds.") from None
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as problem:
        kind = type(problem).__name__
        raise UnreachableError(f"The provider cannot be reached ({kind}).") from None
    except OSError:
        raise UnreachableError("The provider's name does not resolve.") from None
