"""The root ASGI application: the public API beside Django, which never sees it.

It owns the lifespan, because Django's handler refuses one.
"""

import gc
import os
from collections.abc import Awaitable, Callable, MutableMapping
from functools import cache
from typing import Any, Final, cast

from django.core.asgi import get_asgi_application
from django.utils.module_loading import import_string

type Message = MutableMapping[str, Any]
type Receive = Callable[[], Awaitable[Message]]
type Send = Callable[[Message], Awaitable[None]]
type App = Callable[[Message, Receive, Send], Awaitable[None]]

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

PROXY: Final = "proxy.asgi.application"
PROXY_PATHS: Final = frozenset({"/v1", "/healthz", "/readyz", "/metrics"})
GC_THRESHOLD: Final = 50_000
"""Allocations between collections: the default walks the heap hundreds of times a second."""

_django = cast("App", get_asgi_application())


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
    from config.checks import startup_errors  # noqa: PLC0415 - Django must be set up first.

    if errors := startup_errors():
        await receive()
        await send({"type": "lifespan.startup.failed", "message": " ".join(errors)})
        return

    async def send_settled(message: Message) -> None:
        if message["type"] == "lifespan.startup.complete":
            gc.collect()
            gc.freeze()
            gc.set_threshold(GC_THRESHOLD)
        await send(message)

    await _proxy()(scope, receive, send_settled)
