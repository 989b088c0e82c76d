"""Answers: JSON, refusals in OpenAI's shape, and the headers that every answer has."""

from collections.abc import Iterable, Mapping
from typing import Final
from uuid import UUID

import orjson

from config.kit import ids
from config.kit.errors import PaywallsError
from config.kit.money import format_micros, format_nanos
from proxy.errors import InvalidApiKeyError, LimitError, MethodNotAllowedError
from proxy.requests import Call, Exchange, Send

type Header = tuple[bytes, bytes]

JSON: Final = b"application/json"
NO_STORE: Final[Header] = (b"cache-control", b"no-store")
NO_RETRY: Final[Header] = (b"x-should-retry", b"false")
"""Stops the retries that official clients make. Source: openai-python, `_base_client.py`."""
CLOSE: Final[Header] = (b"connection", b"close")
_TYPE_JSON: Final[Header] = (b"content-type", JSON)


def base_headers(call: Call) -> list[Header]:
    """What every answer to a call carries: its id, and what we warn of."""
    headers = [request_header(call.id_text)]
    if call.warnings:
        headers.append((b"x-paywall-warning", ", ".join(call.warnings).encode()))
    return headers


def money_headers(
    decision: str, *, cost_nanos: int | None = None, balance_nanos: int | None = None
) -> list[Header]:
    """X-Paywall-Decision, and X-Paywall-Cost and X-Paywall-Balance where they are known."""
    headers = [(b"x-paywall-decision", decision.encode())]
    if cost_nanos is not None:
        headers.append((b"x-paywall-cost", format_nanos(cost_nanos).encode()))
    if balance_nanos is not None:
        headers.append((b"x-paywall-balance", format_micros(balance_nanos).encode()))
    return headers


async def send_json(
    call: Call,
    status: int,
    payload: bytes | Mapping[str, object],
    headers: Iterable[Header] = (),
) -> None:
    """Answer a call with JSON; bytes are sent as they are."""
    await write(call.send, status, payload, [*base_headers(call), *headers])


async def send_error(call: Call, error: PaywallsError, headers: Iterable[Header] = ()) -> None:
    """Answer a call with a refusal; X-Paywall-Decision is its code unless `headers` say more."""
    more = list(headers)
    if all(name != b"x-paywall-decision" for name, _ in more):
        more.append((b"x-paywall-decision", error.code.encode()))
    call.facts.setdefault("decision", error.code)
    await write(
        call.send,
        error.status,
        error_body(error, request_id=call.request_id),
        [*base_headers(call), *error_headers(error), *more],
    )


async def send_early_error(
    exchange: Exchange,
    error: PaywallsError,
    headers: Iterable[Header] = (),
    *,
    is_whole: bool = True,
) -> None:
    """Refuse a request before it has become a call."""
    exchange.facts.setdefault("decision", error.code)
    decision = money_headers(error.code) if exchange.moves_money else ()
    await write(
        exchange.send,
        error.status,
        error_body(error, request_id=exchange.request_id),
        [request_header(exchange.id_text), *error_headers(error), *decision, *headers],
        is_whole=is_whole,
    )


def error_body(error: PaywallsError, *, request_id: UUID) -> bytes:
    """`{"error": {…}}` as every OpenAI client parses it, with the error's details beside."""
    fields = {
        "message": error.message,
        "type": error.kind,
        "param": error.param,
        "code": error.code,
        "request_id": ids.encode("req", request_id),
    }
    return orjson.dumps({"error": fields | error.details})


def error_headers(error: PaywallsError) -> list[Header]:
    """What belongs to the kind of refusal: when to come back, how to authenticate, and so on."""
    headers: list[Header] = []
    if error.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % error.retry_after_s))
    if isinstance(error, InvalidApiKeyError):
        headers.append((b"www-authenticate", b'Bearer realm="paywalls"'))
    elif isinstance(error, MethodNotAllowedError):
        headers.append((b"allow", ", ".join(error.allowed).encode()))
    elif isinstance(error, LimitError):
        headers.extend(_limit_headers(error))
    return headers


def _limit_headers(error: LimitError) -> list[Header]:
    """As OpenAI names them, with what is limited at their end, such as requests or tokens."""
    kind = error.limited.kind
    subject = "tokens" if kind.endswith("tokens") else kind.partition("_")[0]
    return [
        (f"x-ratelimit-limit-{subject}".encode(), error.bound.encode()),
        (f"x-ratelimit-remaining-{subject}".encode(), b"0"),
        (f"x-ratelimit-reset-{subject}".encode(), b"%ds" % error.limited.retry_after_s),
    ]


async def write(
    send: Send,
    status: int,
    payload: bytes | Mapping[str, object],
    headers: list[Header],
    content_type: Header = _TYPE_JSON,
    *,
    is_whole: bool = True,
) -> None:
    """Send a whole answer; or all of it but its end."""
    body = payload if isinstance(payload, bytes) else orjson.dumps(payload)
    fixed = [content_type, (b"content-length", b"%d" % len(body)), NO_STORE]
    await send({"type": "http.response.start", "status": status, "headers": fixed + headers})
    await send({"type": "http.response.body", "body": body, "more_body": not is_whole})


def request_header(id_text: str) -> Header:
    return (b"x-request-id", id_text.encode())
