"""F27: the nginx of compose.yaml in front of the product, and five hundred who send slowly."""

import asyncio
import shutil
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import httpx
import pytest
from asgiref.sync import sync_to_async

from config.dev.process import Child, wait_until
from config.dev.servers import HOST, free_port
from tests.support.asks import chat
from tests.support.product import CHARGE, UNIT, Server, Wallet
from tests.support.sources import ROOT

NGINX = shutil.which("nginx")
TRICKLERS = 500
HEADER_S = 10
"""client_header_timeout."""

KEPT = 64
"""Connections that nginx keeps to the product."""

ESTABLISHED = "01"
NORMAL_S = 2.0
"""Of most chats; somebody who waits for a trickler waits for HEADER_S."""

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n"
BODY = HEAD + b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")


@pytest.fixture(scope="module")
def front(product: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """nginx with the configuration of compose.yaml; only addresses are others."""
    folder = tmp_path_factory.mktemp("nginx")
    port = free_port()
    file = folder / "nginx.conf"
    file.write_text(configuration(folder, port, product.port))
    child = Child(
        name="nginx",
        command=[str(NGINX), "-p", folder, "-c", file, "-e", "stderr", "-g", "daemon off;"],
        log=folder / "nginx.log",
    ).start()
    server = Server(child, port)
    wait_until(
        lambda: httpx.get(f"{server.url}/readyz", trust_env=False).is_success,
        children=[child],
        timeout_s=10,
        what="nginx",
    )
    yield server
    child.stop()
    child.wait(10)


def configuration(folder: Path, port: int, product_port: int) -> str:
    compose = (ROOT / "compose.yaml").read_text()
    text = dedent(compose.partition("  nginx:\n    content: |\n")[2]).replace("$$", "$")
    for name, other in {
        "web:8000": f"{HOST}:{product_port}",
        "listen 8080": f"listen {HOST}:{port}",
        "http {": f"pid {folder}/pid;\nhttp {{\n" + temporary(folder),
    }.items():
        assert text.count(name) == 1, name
        text = text.replace(name, other)
    return text


def temporary(folder: Path) -> str:
    """Where nginx keeps bodies: an ordinary user may not write to where it does by itself."""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    return "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)


class Trickler:
    """A client that sends a byte now and then."""

    def __init__(self, port: int, begin: bytes) -> None:
        self.was_closed_after_s = 0.0
        self.task = asyncio.create_task(self._send(port, begin))

    async def _send(self, port: int, begin: bytes) -> None:
        reader, writer = await asyncio.open_connection(HOST, port)
        began = time.monotonic()
        writer.write(begin)
        closing = asyncio.create_task(reader.read())
        try:
            while not closing.done():
                writer.write(b"x")
                await asyncio.wait([closing], timeout=0.5)
        finally:
            self.was_closed_after_s = time.monotonic() - began
            writer.transport.abort()
            closing.cancel()
            await asyncio.gather(closing, return_exceptions=True)


@pytest.mark.slow
@pytest.mark.proves("F27")
async def test_five_hundred_tricklers_delay_nobody_and_are_cut(product, front, shop, http):
    user = await sync_to_async(shop.funded)()
    here = shop.at(front)
    assert (await chat(http, here, user)).status_code == 200
    halves = [Trickler(front.port, begin) for begin in (HEAD, BODY) for _ in range(TRICKLERS // 2)]
    await asyncio.sleep(0)
    of_headers, of_bodies = halves[: TRICKLERS // 2], halves[TRICKLERS // 2 :]
    times: list[float] = []
    ends = time.monotonic() + 3 * HEADER_S
    while not all(each.task.done() for each in of_headers):
        assert time.monotonic() < ends
        began = time.monotonic()
        answer = await chat(http, here, user, stream=len(times) % 2 == 0)
        assert answer.status_code == 200
        times.append(time.monotonic() - began)
        await asyncio.sleep(0.2)
    assert statistics.median(times) < NORMAL_S
    assert statistics.median(each.was_closed_after_s for each in of_headers) < 2 * HEADER_S
    # The others go on, but in nginx alone: the product has not heard of them.
    assert connections_to(product.port) <= KEPT
    for each in of_bodies:
        each.task.cancel()
    await asyncio.gather(*(each.task for each in halves), return_exceptions=True)
    assert shop.wallet(user) == Wallet(UNIT - (1 + len(times)) * CHARGE, 0)


def connections_to(port: int) -> int:
    """How many TCP connections of this machine end at a port, by the kernel's own table."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    rows = [line.split() for line in lines]
    return sum(row[1].endswith(f":{port:04X}") and row[3] == ESTABLISHED for row in rows)
