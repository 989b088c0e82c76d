"""From a raw request to a call: headers, key, body and user, in that order, each refused early."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final
from urllib.parse import parse_qsl

from config.kit import clock
from config.kit.errors import InvalidRequestError
from config.kit.limits import LABEL_CHARS_MAX, QUERY_FIELDS_MAX
from config.kit.money import parse_nanos
from config.protocol import ARRIVED, PASS_ON
from proxy import auth, body, idempotency, identity
from proxy.requests import Call, Exchange, Headers
from proxy.router import Endpoint, Match
from proxy.snapshot import Snapshots

ONCE: Final = frozenset(
    {
        "authorization",
        "content-encoding",
        "content-length",
        "content-type",
        "idempotency-key",
        "x-paywall-feature",
        "x-paywall-max-cost",
        "x-paywall-mode",
        "x-paywall-run",
        "x-paywall-user",
    }
)
"""Headers of which only one may be sent, since two would be two answers to one question."""

TWINS: Final = frozenset(name.replace("-", "_") for name in ONCE if "-" in name)
"""The same with underscores: some servers take the two for one."""

CREDENTIALS: Final = frozenset({"access_token", "api_key", "apikey", "authorization", "key"})
"""Names under which keys end up in addresses, and so in logs."""

_LABEL: Final = re.compile(rf"[^\x00-\x1f\x7f-\x9f]{{1,{LABEL_CHARS_MAX}}}")


async def read_call(
    exchange: Exchange, match: Match, endpoint: Endpoint, snapshots: Snapshots
) -> Call:
    """The call that a request makes.

    Raises: PaywallsError of every kind that the edge has; ClientGoneError.
    """
    scope = exchange.scope
    extensions = scope.get("extensions", {})
    headers = read_headers(scope["headers"])
    query = read_query(scope["query_string"]) if scope["query_string"] else {}
    caller = await auth.authenticate(snapshots, headers)
    exchange.facts.update(caller.names)
    auth.authorize(caller, scope=endpoint.scope, spends=endpoint.spends)
    call = Call(
        request_id=exchange.request_id,
        id_text=exchange.id_text,
        started=exchange.started,
        started_at=clock.now(),
        method=scope["method"],
        path=scope["path"],
        route=match.route.name,
        parts=match.parts,
        headers=headers,
        query=query,
        caller=caller,
        receive=exchange.receive,
        send=exchange.send,
        pass_on=extensions.get(PASS_ON),
        feature=_label(headers, "x-paywall-feature"),
        run=_label(headers, "x-paywall-run"),
        error_mode=_error_mode(headers, default=caller.key.error_mode),
        max_cost_nanos=_max_cost(headers),
        facts=exchange.facts,
    )
    if endpoint.body != "none":
        await _read_body(call, endpoint, extensions.get(ARRIVED))
    if endpoint.needs_user:
        call.user = _user(call, match.user)
    if endpoint.moves_money:
        _read_idempotency(call)
    return call


def read_headers(sent: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """Names in lower case, values as Latin-1. Cookies and other strangers are simply not asked for.

    Raises: InvalidRequestError for what stands twice, or with underscores.
    """
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in sent}
    if len(headers) != len(sent):
        names = [name.decode("latin-1") for name, _ in sent]
        for name in ONCE:
            if names.count(name) > 1:
                raise InvalidRequestError(f"The header {name} was sent twice.", param=name)
    if not TWINS.isdisjoint(headers):
        raise InvalidRequestError(
            "A header of ours was sent with underscores. Write it with dashes: X-Paywall-User."
        )
    return headers


def read_query(sent: bytes) -> dict[str, str]:
    """The fields of a query string.

    Raises: InvalidRequestError for keys in it, a field twice, too many, or other than UTF-8.
    """
    try:
        pairs = parse_qsl(
            sent.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=QUERY_FIELDS_MAX,
        )
    except ValueError:
        raise InvalidRequestError("The query string is malformed.") from None
    query = dict(pairs)
    if not CREDENTIALS.isdisjoint(query):
        raise InvalidRequestError(
            "Keys in addresses end up in logs. Send `Authorization: Bearer …`, and revoke this key."
        )
    if len(query) != len(pairs):
        raise InvalidRequestError("A field of the query stands there twice.")
    return query


async def _read_body(
    call: Call, endpoint: Endpoint, arrived: Callable[[], bytes | None] | None
) -> None:
    bytes_max = endpoint.body_bytes_max
    body.check_headers(call.headers, bytes_max=bytes_max)
    raw = body.taken(arrived, bytes_max=bytes_max)
    call.raw = await body.read(call.receive, bytes_max=bytes_max) if raw is None else raw
    if call.raw or endpoint.body == "required":
        call.body = body.parse(call.raw)


def _user(call: Call, prefix: str) -> str:
    """The end user; a key that is bound to one always means that one."""
    bound = call.caller.key.external_user
    if bound is not None:
        return bound
    query: Mapping[str, str] = call.query if call.method in ("GET", "HEAD") else {}
    if "/" in prefix or "\\" in prefix:
        raise InvalidRequestError("A user in the address cannot have slashes.", param="user")
    user = identity.resolve(call.body, query, call.headers, prefix)
    if identity.looks_like_email(user):
        call.warnings.append(identity.WARNING_EMAIL)
    return user


def _read_idempotency(call: Call) -> None:
    key = call.caller.key
    sent = idempotency.header_key(call.headers, is_required=key.idempotency_required)
    if sent is None:
        call.warnings.append(idempotency.WARNING_MISSING)
        return
    call.idempotency = idempotency.identify(
        sent,
        endpoint=f"{call.method} {call.route}",
        livemode=key.livemode,
        user=call.user,
        body=call.body,
    )


def _label(headers: Headers, name: str) -> str:
    value = headers.get(name)
    if value is None:
        return ""
    text = identity.decoded(value, name=name)
    if not _LABEL.fullmatch(text):
        raise InvalidRequestError(
            f"The header {name} must be 1 to {LABEL_CHARS_MAX} visible characters.", param=name
        )
    return text


def _error_mode(headers: Headers, *, default: bool) -> bool:
    mode = headers.get("x-paywall-mode")
    if mode is None:
        return default
    if mode not in ("message", "error"):
        raise InvalidRequestError(
            "X-Paywall-Mode must be `message` or `error`.", param="X-Paywall-Mode"
        )
    return mode == "error"


def _max_cost(headers: Headers) -> int | None:
    text = headers.get("x-paywall-max-cost")
    if text is None:
        return None
    nanos = parse_nanos(text)
    if nanos is None:
        raise InvalidRequestError(
            'X-Paywall-Max-Cost must be a decimal such as "0.05".', param="X-Paywall-Max-Cost"
        )
    return nanos
