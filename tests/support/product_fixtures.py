"""Fixtures of the running product, for those folders whose conftest imports them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from config.dev.servers import HOST, free_port
from tests.support.product import Server, broken_promises, start_provider, start_web

Start = Callable[..., Server]


@pytest.fixture(scope="session")
def provider_port() -> int:
    return free_port()


@pytest.fixture(scope="session")
def provider(provider_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The demo provider in a process of its own."""
    server = start_provider(tmp_path_factory.mktemp("provider"), provider_port)
    yield server
    server.kill()


@pytest.fixture(scope="session")
def product(provider_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Web and proxy in a process of its own, which nobody may stop; it shows its mail."""
    demo_url = f"http://{HOST}:{provider_port}"
    folder = tmp_path_factory.mktemp("web")
    server = start_web(folder, DEMO_PROVIDER_URL=demo_url, DEMO_MAILBOX="true")
    yield server
    server.kill()


@pytest.fixture
def start(tmp_path, product: Server) -> Iterator[Start]:
    """Starts more of them, for tests that do them harm."""
    started: list[Server] = []

    def start_one(log: Path | None = None, **environment: str) -> Server:
        started.append(start_web(tmp_path, log, **environment))
        return started[-1]

    yield start_one
    for server in started:
        server.kill()


@pytest.fixture(scope="module")
def books() -> Iterator[None]:
    """After the tests of a file the ledger must still be right."""
    yield
    assert broken_promises() == []
