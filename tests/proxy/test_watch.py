"""A block of work ends when the client leaves or time is over, and never for another reason."""

import asyncio
import gc
import weakref

import pytest

from proxy.chat_errors import TooSlowError
from proxy.watch import LOOK_S, ClientGoneError, Watch
from tests.support.chats import Client


def watch(client: Client, *, seconds: float = 5, drains: bool = False) -> Watch:
    return Watch(client.receive, seconds=seconds, may_go_on=lambda: drains)


async def test_a_client_that_leaves_ends_the_work():
    client = Client()
    asyncio.get_running_loop().call_soon(client.gone.set)
    with pytest.raises(ClientGoneError), watch(client) as one:
        await asyncio.Event().wait()
    assert one.is_gone
    await asyncio.sleep(0)  # The task goes on as if nothing had been cancelled.


async def test_a_client_that_has_left_already_ends_the_work():
    client = Client()
    client.gone.set()
    with pytest.raises(ClientGoneError), watch(client):
        await asyncio.Event().wait()


async def test_work_that_may_go_on_is_only_told():
    client = Client()
    with watch(client, drains=True) as one:
        client.gone.set()
        await asyncio.sleep(2 * LOOK_S)
    assert one.is_gone


async def test_work_that_is_done_soon_is_never_looked_at():
    client = Client()
    client.gone.set()
    with watch(client) as one:
        await asyncio.sleep(0)
    assert not one.is_gone


async def test_time_that_is_over_ends_the_work():
    with pytest.raises(TooSlowError), watch(Client(), seconds=0.01):
        await asyncio.Event().wait()


async def test_time_that_is_over_ends_work_that_may_go_on():
    client = Client()
    client.gone.set()
    with pytest.raises(TooSlowError), watch(client, seconds=0.01, drains=True):
        await asyncio.Event().wait()


async def test_an_error_of_the_work_is_its_own():
    async def work() -> None:
        with watch(Client()):
            await asyncio.sleep(0)
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        await work()


async def test_somebody_elses_cancellation_stays_one():
    client = Client()

    async def work() -> None:
        with watch(client):
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    client.gone.set()
    await asyncio.sleep(0)  # The watch has cancelled the task, which has not noticed yet.
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_nothing_is_left_behind():
    before = len(asyncio.all_tasks())
    with watch(Client()):
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == before


async def test_what_was_watched_needs_no_collection():
    client = Client()
    gc.disable()
    try:
        with watch(client) as one:
            await asyncio.sleep(2 * LOOK_S)
        gone = weakref.ref(one)
        del one
        await asyncio.sleep(0)
        assert gone() is None
    finally:
        gc.enable()
