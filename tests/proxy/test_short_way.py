"""Plain events at the pace of tokens go from socket to socket; all else takes the long way."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from proxy.chat_errors import BudgetExhaustedError
from proxy.relay import BURST_S, Sieve, stream
from tests.proxy.test_relay import DONE, chunk, sieve
from tests.proxy.test_stream import CHARGE
from tests.support.chats import Client, request
from tests.support.patience import PATIENCE_S

TEXT = "Hello there, this is fake."


class Short(Client):
    """A client whose server offers the short way; one that is slow refuses it."""

    def __init__(self, *, refuses: bool = False) -> None:
        super().__init__()
        self.passed: list[bytes] = []
        self.refuses = refuses

    def pass_on(self, piece: bytes) -> bool:
        if self.refuses:
            return False
        self.passed.append(piece)
        self.messages.append({"type": "http.response.body", "body": piece, "more_body": True})
        self.got.set()
        return True


async def chat(wall, fake, client: Short) -> Client:
    """A chat whose first words come one by one, each later than a burst."""
    fake.behaviour = "gated"
    body = request(stream=True)
    asked = asyncio.create_task(wall.chat(body, client=client, pass_on=client.pass_on))
    await fake.wait_requests()
    for number in range(4):
        await asyncio.sleep(2 * BURST_S)
        fake.release()
        await client.wait_events(number + 1)
    fake.release(1_000)
    return await asyncio.wait_for(asked, PATIENCE_S)


@pytest.mark.parametrize("refuses", [False, True])
async def test_either_way_it_arrives_once_in_order_and_is_paid(wall, fake, refuses):
    client = Short(refuses=refuses)
    await chat(wall, fake, client)
    assert len(client.passed) >= (0 if refuses else 3)
    assert bool(client.passed) is not refuses
    assert (client.text, client.events[-1], client.is_complete) == (TEXT, "[DONE]", True)
    assert not any(b'"usage"' in piece for piece in client.passed)
    assert wall.gate.bill.charge_nanos == CHARGE


class Tapped:
    """An answer that offers each piece to the tap first, as a connection does."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.tap: Any = None
        self.queued: list[bytes] = []
        self.pieces = pieces

    def __aiter__(self) -> "Tapped":
        return self

    def feed(self, piece: bytes) -> bool:
        self.queued.append(piece)
        return False

    async def __anext__(self) -> bytes:
        while not self.queued:
            if not self.pieces:
                raise StopAsyncIteration
            await asyncio.sleep(2 * BURST_S)
            piece = self.pieces.pop(0)
            if not self.tap(piece):
                self.queued.append(piece)
        return self.queued.pop(0)


class Limited:
    """A meter for a hold that pays for so many events."""

    def __init__(self, events: int) -> None:
        self.left = events
        self.taken: list[bytes] = []

    def took(self, block: bytes) -> bool:
        self.taken.append(block)
        self.left -= 1
        return self.left < 0

    def is_finished(self, choices: int) -> bool:
        return True


def relayed(client: Short, meter: Limited, *, is_gone: bool = False) -> tuple[Any, Any]:
    """What `stream` needs of a chat that has begun, and of its watch."""
    call = SimpleNamespace(pass_on=client.pass_on, send=client.send)
    plan = SimpleNamespace(chat=SimpleNamespace(choices=1))
    dispatch = SimpleNamespace(meter=meter, call=call, plan=plan, kept=None, has_started=True)
    return dispatch, SimpleNamespace(is_gone=is_gone)


async def test_a_hold_that_is_used_up_ends_it_and_nothing_goes_twice():
    client, meter = Short(), Limited(2)
    pieces = [chunk(word) for word in ["one", "two", "three", "four"]]
    reply = Tapped(list(pieces))
    dispatch, watch = relayed(client, meter)
    with pytest.raises(BudgetExhaustedError):
        await stream(dispatch, reply, sieve(), watch)
    assert client.pieces == meter.taken == pieces[:3]
    assert reply.tap is None


async def test_what_comes_after_the_end_is_not_passed_on():
    client, meter = Short(), Limited(9)
    reply = Tapped([chunk("one"), chunk("two"), DONE, chunk("after")])
    dispatch, watch = relayed(client, meter)
    one: Sieve = sieve()
    await stream(dispatch, reply, one, watch)
    assert client.pieces == [chunk("one"), chunk("two")]
    assert (reply.tap, one.lets_pass(chunk("after"))) == (None, False)


async def test_half_an_event_and_its_end_go_on_together():
    client, meter = Short(), Limited(9)
    whole = chunk("split in two")
    reply = Tapped([chunk("one"), whole[:20], whole[20:], DONE])
    dispatch, watch = relayed(client, meter)
    await stream(dispatch, reply, sieve(), watch)
    assert client.pieces == [chunk("one"), whole]
    assert client.passed == [chunk("one")]


async def test_who_is_gone_is_sent_nothing_while_the_rest_is_counted():
    client, meter = Short(), Limited(9)
    reply = Tapped([chunk("one"), chunk("two"), DONE])
    dispatch, watch = relayed(client, meter, is_gone=True)
    await stream(dispatch, reply, sieve(), watch)
    assert (client.pieces, len(meter.taken)) == ([], 2)
