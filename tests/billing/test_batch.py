"""Natural batching, without a database."""

import asyncio

import pytest

from billing.batch import Batcher


class Trips:
    """Round trips that end when told to."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.abandoned: list[tuple[int, int]] = []
        self.batcher: Batcher[int, int] = Batcher(
            self.run, lambda ask, answer: self.abandoned.append((ask, answer))
        )

    async def run(self, asks):
        self.batches.append(list(asks))
        await self.gate.wait()
        return [ValueError(ask) if ask < 0 else ask * 10 for ask in asks]


async def test_alone_waits_for_nobody_and_what_arrives_meanwhile_goes_together():
    trips = Trips()
    first = trips.batcher.call(1)
    await asyncio.sleep(0)
    rest = [trips.batcher.call(n) for n in (2, 3, 4)]
    trips.gate.set()
    assert await asyncio.gather(first, *rest) == [10, 20, 30, 40]
    assert trips.batches == [[1], [2, 3, 4]]


async def test_one_callers_error_is_not_a_neighbours():
    trips = Trips()
    trips.gate.set()
    good, bad = trips.batcher.call(1), trips.batcher.call(-1)
    assert await good == 10
    with pytest.raises(ValueError, match="-1"):
        await bad


async def test_an_answer_whose_caller_left_is_told():
    trips = Trips()
    left, stayed = trips.batcher.call(1), trips.batcher.call(2)
    await asyncio.sleep(0)
    left.cancel()
    trips.gate.set()
    assert await stayed == 20
    assert trips.abandoned == [(1, 10)]


async def test_a_trip_that_breaks_leaves_nobody_waiting():
    async def broken(asks):
        raise KeyError(asks[0])

    batcher: Batcher[int, int] = Batcher(broken, lambda *_: None)
    with pytest.raises(KeyError):
        await batcher.call(1)
    with pytest.raises(KeyError):
        await batcher.call(2)


async def test_drained_returns_when_nothing_is_under_way():
    trips = Trips()
    future = trips.batcher.call(1)
    trips.gate.set()
    await trips.batcher.drained()
    assert future.done()
