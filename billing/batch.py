"""Natural batching: while one round trip is under way, what arrives waits and goes together.

Alone, a call waits for nobody. One round trip at a time (measured: the best tail).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from config.kit.limits import BATCH_MAX


class Batcher[Ask, Answer]:
    """Collects calls of one kind.

    run: takes the waiting asks and returns an answer or an exception for each, in their order.
    abandoned: told of an answer whose caller was cancelled meanwhile, so that it can be undone.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Ask]], Awaitable[Sequence[Answer | Exception]]],
        abandoned: Callable[[Ask, Answer], None],
    ) -> None:
        self._run = run
        self._abandoned = abandoned
        self._waiting: list[tuple[Ask, asyncio.Future[Answer]]] = []
        self._worker: asyncio.Task[None] | None = None

    def call(self, ask: Ask) -> asyncio.Future[Answer]:
        """The answer to come. Cancelling it does not stop the round trip."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((ask, future))
        if self._worker is None:
            worker = asyncio.Task(self._work(), loop=loop, eager_start=True)
            self._worker = None if worker.done() else worker
        return future

    async def drained(self) -> None:
        """Returns when nothing waits and nothing is under way."""
        while self._worker is not None and not self._worker.done():
            await asyncio.wait([self._worker])

    async def _work(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:BATCH_MAX], self._waiting[BATCH_MAX:]
                answers = await self._answers([ask for ask, _ in batch])
                assert len(answers) == len(batch), (len(answers), len(batch))
                for (ask, future), answer in zip(batch, answers, strict=True):
                    self._deliver(ask, future, answer)
        finally:
            self._worker = None

    async def _answers(self, asks: Sequence[Ask]) -> Sequence[Answer | Exception]:
        try:
            return await self._run(asks)
        except Exception as error:  # The outermost handler of a task: its callers get it.
            return [error] * len(asks)

    def _deliver(
        self, ask: Ask, future: asyncio.Future[Answer], answer: Answer | Exception
    ) -> None:
        if not future.done():
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
        elif not isinstance(answer, Exception):
            self._abandoned(ask, answer)
