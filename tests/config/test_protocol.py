"""An answer's head waits for its body, and never longer than the loop's turn; the short ways."""

import asyncio
import gc
from typing import Any, cast

import uvicorn
from uvicorn.server import ServerState

from config.protocol import ARRIVED, PASS_ON, CorkedTransport, Protocol

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

    def get_extra_info(self, name: str, default: object = None) -> object:
        del name
        return default

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


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


async def test_a_head_that_never_ends_is_cut_and_a_long_body_is_not():
    async def app(scope: Any, receive: Any, send: Any) -> None:
        """Says how long the body is."""
        size, more = 0, True
        while more:
            message = await receive()
            size, more = size + len(message.get("body", b"")), message.get("more_body", False)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"%d" % size})

    fine = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + b"a" * 100_000
    assert (await said_by(app, [fine, fine])).count(b"\r\n100000") == 2
    pieces = [b"GET / HTTP/1.1\r\nX: ", *[b"a" * 10_000] * 4]
    for sent in (pieces, [b"".join(pieces) + b"\r\n\r\n"], [fine, *pieces]):
        answer = await said_by(app, sent)
        assert b" 400 " in answer
        assert answer.count(b"HTTP/1.1 200") == (len(sent) == len(pieces) + 1)


async def said_by(app: Any, pieces: list[bytes]) -> bytes:
    """What a server of ours answers to a connection's pieces."""
    config = uvicorn.Config(app, http=Protocol, lifespan="off", log_config=None)
    config.load()
    transport = Transport()
    protocol = Protocol(config, ServerState(), {}, asyncio.get_running_loop())
    protocol.connection_made(cast("Any", transport))
    for piece in pieces:
        protocol.data_received(piece)
        await asyncio.sleep(0.01)
    protocol.connection_lost(None)
    return b"".join(transport.written)


async def test_nothing_is_written_once_the_peer_is_gone():
    transport, cork = corked()
    cork.write(HEAD)
    transport.is_closed = True
    await asyncio.sleep(0)
    assert transport.written == []


async def test_a_piece_is_passed_on_only_within_a_body_to_a_client_that_reads():
    told: list[bool] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        pass_on = scope["extensions"][PASS_ON]
        told.append(pass_on(b"before the head"))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        told.append(pass_on(b"piece"))
        flow = pass_on.args[0]().flow
        flow.pause_writing()
        told.append(pass_on(b"to a slow client"))
        flow.resume_writing()
        await send({"type": "http.response.body", "body": b"end"})
        told.append(pass_on(b"after the end"))

    said = await said_by(app, [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"])
    assert told == [False, True, False, False]
    assert said.endswith(b"\r\n\r\n5\r\npiece\r\n3\r\nend\r\n0\r\n\r\n")


async def test_a_body_that_came_with_its_head_is_given_once():
    told: list[bytes | None] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        arrived = scope["extensions"][ARRIVED]
        told.extend((arrived(), arrived()))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})
        told.append(arrived())

    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n"
    await said_by(app, [head + b"\r\nbody"])
    assert told == [b"body", b"", b""]


async def test_a_body_that_is_still_on_its_way_is_asked_for():
    told: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        told.append(scope["extensions"][ARRIVED]())
        told.extend([await receive(), await receive()])
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"
    await said_by(app, [head + b"bo", b"dy"])
    assert [it and it["body"] for it in told] == [None, b"bo", b"dy"]


async def test_a_client_that_may_send_its_body_is_told_so():
    told: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        told.append(scope["extensions"][ARRIVED]())
        told.append((await receive())["body"])
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    head = b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
    said = await said_by(app, [head + b"body"])
    assert told == [None, b"body"]
    assert said.startswith(b"HTTP/1.1 100 Continue\r\n\r\n")


async def test_a_request_that_is_over_needs_no_collection():
    """Else thousands of them wait for one, which then stops all streams for a tenth of a second."""
    cycles: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        cycles.append(scope["extensions"][PASS_ON].args[0])
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    gc.disable()
    try:
        await said_by(app, [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"] * 2)
        assert cycles[0]() is None
    finally:
        gc.enable()
