"""The root ASGI application: the public API beside Django, which never sees it.

It owns the lifespan, because Django's handler refuses one.
"""

import asyncio
import ctypes
import gc
import os
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from functools import cache
from typing import Any, Final, cast

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.utils.module_loading import import_string

type Message = MutableMapping[str, Any]
type Receive = Callable[[], Awaitable[Message]]
type Send = Callable[[Message], Awaitable[None]]
type App = Callable[[Message, Receive, Send], Awaitable[None]]

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

PROXY: Final = "proxy.asgi.application"
PROXY_PATHS: Final = frozenset({"/v1", "/healthz", "/readyz", "/metrics"})
STATEMENT_MS: Final = 10_000
"""The longest statement of a page: what takes longer is a mistake, and would take from others."""

GC_THRESHOLD: Final = 50_000
"""Allocations between collections: the default walks the heap hundreds of times a second."""

_django = cast("App", get_asgi_application())
# Pages and the loading of configuration; workers and commands may take their time.
settings.DATABASES["default"]["OPTIONS"]["options"] = f"-c statement_timeout={STATEMENT_MS}"


async def application(scope: Message, receive: Receive, send: Send) -> None:
    """Send the public API to the proxy and everything else to Django."""
    kind = scope["type"]
    if kind == "http":
        path: str = scope["path"]
        if path.startswith("/v1/") or path in PROXY_PATHS:
            await _proxy()(scope, receive, send)
        else:
            await _django(scope, receive, send)
    elif kind == "lifespan":
        await _live(scope, receive, send)
    else:
        await send({"type": "websocket.close", "code": 1000})


@cache
def _proxy() -> App:
    """Imported on first use: the layers above `config` are known to it by name only."""
    app: App = import_string(PROXY)
    return app


async def _live(scope: Message, receive: Receive, send: Send) -> None:
    """The proxy's lifespan, refused when a start-up check fails."""
    from config import checks, schema  # noqa: PLC0415 - Django must be set up first.

    errors = list(checks.startup_errors())
    errors.extend(await asyncio.to_thread(checks.stored_errors))
    if newer := await asyncio.to_thread(schema.newer_migrations):
        errors.append(schema.NEWER.format(", ".join(newer)))
    if errors:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": " ".join(errors)})
        return

    async def send_settled(message: Message) -> None:
        if message["type"] == "lifespan.startup.complete":
            gc.collect()
            _return_memory()
            gc.freeze()
            gc.set_threshold(GC_THRESHOLD)
        await send(message)

    await _proxy()(scope, receive, send_settled)


def _return_memory() -> None:
    """Gives back what starting up needed for a moment (measured: 4 MB a process); glibc only."""
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
