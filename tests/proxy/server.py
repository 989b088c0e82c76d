"""The public API behind a real HTTP server, on a loop and a thread of its own."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from proxy.asgi import Application


@contextmanager
def serving(app: Application) -> Iterator[tuple[str, int]]:
    """Host and port where `app` answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                http="httptools",
                loop="uvloop",
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=5,
            )
        )
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            while thread.is_alive() and not server.started:
                thread.join(0.01)
            assert server.started
            yield listening.getsockname()
        finally:
            server.should_exit = True
            thread.join(20)
