"""The public API and Django share one server, and neither sees the other's requests."""

import gc

import pytest

from config import asgi


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
