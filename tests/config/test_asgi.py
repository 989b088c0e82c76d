"""The public API and Django share one server, and neither sees the other's requests."""

import asyncio
import gc

import pytest
from asgiref.sync import sync_to_async
from django.db.backends.signals import connection_created

from config import asgi
from paywalls.links import checkout_token
from tests.factories import EndUserFactory


@pytest.fixture
def asked(monkeypatch):
    """Which application was asked, by path."""
    seen: list[tuple[str, str]] = []

    def application(name):
        async def answer(scope, receive, send):
            seen.append((name, scope.get("path", scope["type"])))
            if scope["type"] == "lifespan":
                await receive()
                await send({"type": "lifespan.startup.complete"})

        return answer

    monkeypatch.setattr(asgi, "_proxy", lambda: application("proxy"))
    monkeypatch.setattr(asgi, "_django", application("django"))
    return seen


async def ask(scope):
    sent = []

    async def receive():
        return {"type": f"{scope['type']}.startup"}

    async def send(message):
        sent.append(message)

    await asgi.application(scope, receive, send)
    return sent


@pytest.mark.parametrize("path", ["/v1", "/v1/models", "/healthz", "/readyz", "/metrics"])
async def test_the_public_api_goes_to_the_proxy(asked, path):
    await ask({"type": "http", "path": path})
    assert asked == [("proxy", path)]


@pytest.mark.parametrize("path", ["/", "/v1x", "/admin/", "/healthz/", "/metrics2"])
async def test_everything_else_goes_to_django(asked, path):
    await ask({"type": "http", "path": path})
    assert asked == [("django", path)]


async def test_a_websocket_is_closed(asked):
    assert await ask({"type": "websocket", "path": "/v1"}) == [
        {"type": "websocket.close", "code": 1000}
    ]
    assert asked == []


async def test_the_proxy_owns_the_lifespan(asked):
    before = gc.get_threshold()
    try:
        assert await ask({"type": "lifespan"}) == [{"type": "lifespan.startup.complete"}]
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
    assert asked == [("proxy", "lifespan")]


async def test_a_failed_check_fails_the_start(asked, settings):
    settings.ALLOWED_HOSTS = ["*"]
    (message,) = await ask({"type": "lifespan"})
    assert message["type"] == "lifespan.startup.failed"
    assert "ALLOWED_HOSTS" in message["message"]
    assert asked == []


async def test_a_page_leaves_no_database_connection_open():
    user = await sync_to_async(EndUserFactory.create)()
    requests = [{"type": "http.request", "body": b"", "more_body": False}]
    sent, opened = [], []

    async def receive():
        return requests.pop() if requests else await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    def note(connection, **_):
        opened.append(connection)

    scope = {"type": "http", "method": "GET", "path": f"/pay/{checkout_token(user.pk)}"}
    connection_created.connect(note)
    try:
        await asgi.application({**scope, "headers": [(b"host", b"localhost")]}, receive, send)
    finally:
        connection_created.disconnect(note)
    assert sent[0]["status"] == 200
    assert opened
    assert [each.connection for each in opened] == [None] * len(opened)
