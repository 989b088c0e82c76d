"""A webhook receiver that answers as a test wants it and keeps what arrives."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import stripe

PATIENCE_S = 45


@dataclass
class Arrival:
    """One POST."""

    signature: str | None
    body: bytes

    @property
    def event(self) -> Any:
        return json.loads(self.body)

    def verified(self, secret: str) -> Any:
        return stripe.Webhook.construct_event(self.body, self.signature, secret)


@dataclass
class Sink:
    """`statuses` are the next answers, then 200."""

    port: int = 0
    statuses: list[int] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def types(self) -> list[str]:
        return [arrival.event["type"] for arrival in self.arrivals]

    def wait(self, count: int) -> None:
        """Until so many have arrived."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.arrivals) >= count, PATIENCE_S), (
                f"{len(self.arrivals)} of {count} arrived: {self.types}"
            )

    def take(self, arrival: Arrival) -> int:
        with self.changed:
            self.arrivals.append(arrival)
            self.changed.notify_all()
            return self.statuses.pop(0) if self.statuses else 200


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


@contextmanager
def receiving() -> Iterator[Sink]:
    sink = Sink()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = sink.take(Arrival(self.headers.get("Stripe-Signature"), body))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Silence."""

    with Server(("127.0.0.1", 0), Handler) as server:
        sink.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield sink
        server.shutdown()
        thread.join()
