"""An answer's head waits for its body, and never longer than the loop's turn."""

import asyncio
from typing import Any, cast

from config.protocol import CorkedTransport

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"


class Transport:
    """Keeps what is written to it."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed


def corked() -> tuple[Transport, CorkedTransport]:
    transport = Transport()
    loop = asyncio.get_running_loop()
    return transport, CorkedTransport(cast("Any", transport), loop)


async def test_head_and_body_go_in_one_write_and_later_pieces_at_once():
    transport, cork = corked()
    for data in (HEAD, b"body", b"more"):
        cork.write(data)
    assert transport.written == [HEAD + b"body", b"more"]


async def test_a_head_alone_goes_at_the_end_of_the_turn():
    transport, cork = corked()
    cork.write(HEAD)
    assert transport.written == []
    await asyncio.sleep(0)
    assert transport.written == [HEAD]


async def test_closing_lets_nothing_lie():
    transport, cork = corked()
    cork.write(HEAD)
    cork.close()
    await asyncio.sleep(0)
    assert (transport.written, transport.is_closed) == ([HEAD], True)


async def test_nothing_is_written_once_the_peer_is_gone():
    transport, cork = corked()
    cork.write(HEAD)
    transport.is_closed = True
    await asyncio.sleep(0)
    assert transport.written == []
