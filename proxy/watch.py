"""Ends a block of work when the client leaves or when its time is over."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from proxy.chat_errors import TooSlowError
from proxy.requests import Receive

LOOK_S: Final = 0.03
"""Work that is done by then needs no watcher, which costs a task."""


class ClientGoneError(Exception):
    """The client left: there is nobody to answer."""


class Watch:
    """`with Watch(...)`: cancels the block's task, and says afterwards why.

    Enter it once nothing can be lost by a cancellation. may_go_on: whether the work shall run to
    its end although the client left; `is_gone` tells it to send nothing more.

    Raises, from the block: ClientGoneError, TooSlowError.
    """

    def __init__(self, receive: Receive, *, seconds: float, may_go_on: Callable[[], bool]) -> None:
        self.is_gone = False
        self._is_late = False
        self._was_cancelled = False
        self._receive = receive
        self._seconds = seconds
        self._may_go_on = may_go_on

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None, "only inside a task"
        self._task = task
        loop = asyncio.get_running_loop()
        self._watcher: asyncio.Task[None] | None = None
        self._ends_at = loop.time() + self._seconds
        self._timer = loop.call_later(min(LOOK_S, self._seconds), self._look)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.cancel()  # Kept, it and this would hold each other until a collection.
        if not self._was_cancelled:
            return
        is_ours = self._task.uncancel() == 0
        if is_ours and kind is asyncio.CancelledError:
            raise TooSlowError if self._is_late else ClientGoneError

    def _look(self) -> None:
        """It takes longer: from now on see whether the client leaves."""
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(self._ends_at, self._end_late)
        self._watcher = asyncio.Task(self._wait(), loop=loop, eager_start=True)

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.is_gone = True
        if not self._may_go_on():
            self._cancel()

    def _end_late(self) -> None:
        self._is_late = True
        self._cancel()

    def _cancel(self) -> None:
        if not self._was_cancelled:
            self._was_cancelled = True
            self._task.cancel()
