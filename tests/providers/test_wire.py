"""An answer's events may pile up unread for a moment."""

import asyncio
from typing import Any, cast

import pytest

from providers.types import Timeouts
from providers.wire import Connection, Reply

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
TIMES = Timeouts(connect_s=1, first_byte_s=1, idle_s=1, total_s=1)


class Transport:
    """Notes whether its connection reads."""

    def __init__(self) -> None:
        self.noted: list[str] = []
        self.is_gone = False

    def write(self, data: bytes) -> None: ...

    def is_closing(self) -> bool:
        return self.is_gone

    def abort(self) -> None:
        self.is_gone = True

    def pause_reading(self) -> None:
        self.noted.append("pause")

    def resume_reading(self) -> None:
        self.noted.append("resume")


@pytest.fixture
async def asked() -> tuple[Transport, Reply]:
    """A connection on which an answer has begun."""
    transport = Transport()
    connection = Connection(asyncio.get_running_loop(), lambda _: None, lambda _: None)
    connection.connection_made(cast("Any", transport))
    reply = connection.send(b"", TIMES)
    connection.data_received(HEAD)
    return transport, reply


async def test_nothing_is_read_while_events_gather(asked):
    transport, reply = asked
    gathering = asyncio.create_task(reply.gather(0.001))
    await asyncio.sleep(0)
    assert transport.noted == ["pause"]
    await gathering
    assert transport.noted == ["pause", "resume"]
    reply.drop()


async def test_reading_goes_on_when_the_reader_is_called_away(asked):
    transport, reply = asked
    gathering = asyncio.create_task(reply.gather(10))
    await asyncio.sleep(0)
    gathering.cancel()
    await asyncio.gather(gathering, return_exceptions=True)
    assert transport.noted == ["pause", "resume"]
    reply.drop()


async def test_an_answer_that_was_dropped_is_left_alone(asked):
    transport, reply = asked
    reply.drop()
    await reply.gather(0)
    assert transport.noted == []
