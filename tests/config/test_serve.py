"""The server as it is started everywhere."""

import signal
import sys
from typing import Any

import pytest

from config import serve

NGINX_KEEPS_S = 60
"""An idle connection to an upstream, unless it is told otherwise."""


def test_it_keeps_idle_connections_longer_than_anyone_before_it(monkeypatch: pytest.MonkeyPatch):
    started: dict[str, Any] = {}
    monkeypatch.setattr(
        sys.modules["uvicorn.main"], "run", lambda app, **more: started.update(more)
    )
    monkeypatch.setattr(sys, "argv", ["serve", "config.asgi:application"])
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit):
        serve.main()
    assert started["timeout_keep_alive"] > NGINX_KEEPS_S
