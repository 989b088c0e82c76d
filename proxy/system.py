"""Addresses for operators: is the process alive, is it ready, what has it counted."""

import hmac
from ipaddress import ip_address
from typing import Final

from django.conf import settings

from proxy import books
from proxy.errors import InvalidApiKeyError, MethodNotAllowedError, NotFoundError
from proxy.metrics import CONTENT_TYPE
from proxy.reader import read_headers
from proxy.requests import Exchange
from proxy.responses import request_header, write
from proxy.services import Services

HEALTH: Final = "/healthz"
READY: Final = "/readyz"
METRICS: Final = "/metrics"
PATHS: Final = frozenset({HEALTH, READY, METRICS})


async def answer(exchange: Exchange, services: Services | None, *, is_draining: bool) -> None:
    """Answer one of PATHS.

    Raises: MethodNotAllowedError; InvalidApiKeyError.
    """
    path = exchange.route = exchange.scope["path"]
    if exchange.scope["method"] not in ("GET", "HEAD"):
        raise MethodNotAllowedError(("GET", "HEAD"))
    headers = [request_header(exchange.id_text)]
    if path == HEALTH:
        await write(exchange.send, 200, {"status": "ok"}, headers)
    elif path == READY:
        is_ready = services is not None and not is_draining and await services.reads.ready()
        status, word = (200, "ready") if is_ready else (503, "not ready")
        await write(exchange.send, status, {"status": word}, headers)
    else:
        _check_operator(exchange)
        text = b""
        if services is not None:
            metrics = services.metrics
            metrics.holds_open = services.gate.holds_open
            metrics.books = await books.latest(metrics.books, services.reads.books)
            metrics.backlog = await books.latest(metrics.backlog, services.reads.backlog)
            text = metrics.exposition()
        await write(exchange.send, 200, text, headers, (b"content-type", CONTENT_TYPE))


def _check_operator(exchange: Exchange) -> None:
    """With METRICS_TOKEN its bearer, without one only this machine; others see nothing there."""
    headers = read_headers(exchange.scope["headers"])
    token: str = settings.METRICS_TOKEN
    if token:
        sent = headers.get("authorization", "")
        if not hmac.compare_digest(sent.encode(), f"Bearer {token}".encode()):
            raise InvalidApiKeyError("Send `Authorization: Bearer` with METRICS_TOKEN.")
        return
    # A proxy on this machine would make everyone local.
    is_forwarded = "x-forwarded-for" in headers or "forwarded" in headers
    client = exchange.scope.get("client")
    if is_forwarded or not client or not ip_address(client[0]).is_loopback:
        raise NotFoundError("There is nothing at this address.")
