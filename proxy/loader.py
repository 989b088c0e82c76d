"""Database work of the cold paths: in a few threads, and equal work at one time only once."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from django.db import InterfaceError, OperationalError, connections

from billing.errors import GateUnavailableError

THREADS: Final = 2

logger = logging.getLogger("paywalls.snapshot")


class Loader:
    """A bounded pool of threads that may use the ORM."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="loader")
        self._running: dict[object, asyncio.Future[Any]] = {}

    async def once[T](self, name: object, work: Callable[[], T]) -> T:
        """The result of `work`, shared with everyone who asks for `name` meanwhile.

        Raises: GateUnavailableError when the database does not answer.
        """
        running = self._running.get(name)
        if running is None:
            loop = asyncio.get_running_loop()
            running = loop.run_in_executor(self._threads, self._apart, work)
            self._running[name] = running
            running.add_done_callback(lambda done: self._forget(name, done))
        # The others still wait for it when this one goes away.
        shared: T = await asyncio.shield(running)
        return shared

    @property
    def waiting(self) -> int:
        """How much work there is."""
        return len(self._running)

    def close(self) -> None:
        """Wait for what runs, forget what has not begun, and end the threads."""
        self._threads.shutdown(cancel_futures=True)

    def _apart[T](self, work: Callable[[], T]) -> T:
        """Work on the thread's own connection, which stays open only while more work waits.

        A storm of keys that nobody knows would otherwise connect for each of them; a thread that
        may rest for hours keeps none.
        """
        try:
            return work()
        except (OperationalError, InterfaceError) as error:
            connections.close_all()
            logger.warning("configuration not loaded: %s", type(error).__name__)
            raise GateUnavailableError(
                "The database does not answer. Try again.", retry_after_s=1
            ) from None
        finally:
            if len(self._running) <= THREADS:
                connections.close_all()

    def _forget(self, name: object, done: asyncio.Future[Any]) -> None:
        del self._running[name]
        if not done.cancelled():
            done.exception()  # Seen, even when everyone who waited has left.
