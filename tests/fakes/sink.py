"""A developer's webhook receiver: a server of its own that answers, or fails, as a test wants it.

    with Sink() as sink:
        sink.url                    # where it listens
        sink.answer = Answer(500)   # from now on; or `plan` for the next ones, one by one
        sink.seen[-1].json          # what arrived; also .headers, .body, .at

`hangs` takes the request and says nothing until the sink is closed.
"""

import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import orjson

from tests.support.patience import PATIENCE_S


@dataclass(frozen=True)
class Answer:
    """body: sent as it is. hangs: nothing is sent. cuts: the connection is closed instead."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"ok"
    hangs: bool = False
    cuts: bool = False


@dataclass(frozen=True)
class Seen:
    """One request. headers: names in lower case. at: monotonic seconds."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


class Sink:
    """The server, in threads of its own. most: the most requests that were open at one time."""

    def __init__(self, answer: Answer | None = None, *, tls: ssl.SSLContext | None = None) -> None:
        self.answer = answer or Answer()
        self.plan: list[Answer] = []
        self.seen: list[Seen] = []
        self.open = 0
        self.most = 0
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._scheme = "https" if tls else "http"
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}/hook"

    def wait(self, count: int = 1, *, timeout_s: float = PATIENCE_S) -> None:
        """Wait until so many requests have arrived."""
        with self._changed:
            arrived = self._changed.wait_for(lambda: len(self.seen) >= count, timeout_s)
        assert arrived, f"{len(self.seen)} of {count} requests came"

    @contextmanager
    def _taken(self, seen: Seen) -> Iterator[Answer]:
        with self._changed:
            self.seen.append(seen)
            self.open += 1
            self.most = max(self.most, self.open)
            self._changed.notify_all()
            answer = self.plan.pop(0) if self.plan else self.answer
        try:
            yield answer
        finally:
            with self._changed:
                self.open -= 1

    def _answer(self, handler: BaseHTTPRequestHandler, seen: Seen) -> None:
        with self._taken(seen) as answer:
            if answer.hangs:
                self._closing.wait()
            if answer.hangs or answer.cuts:
                handler.close_connection = True
                return
            handler.send_response(answer.status)
            for name, value in answer.headers.items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", str(len(answer.body)))
            handler.end_headers()
            handler.wfile.write(answer.body)


def _handler(sink: Sink) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(length)
            try:
                sink._answer(self, Seen(self.path, headers, body, time.monotonic()))
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    return Handler
