"""A provider that costs nothing to ask: fixed answers, for measuring what stands before it.

Usage: python -m config.dev.stub PORT
"""

import asyncio
import json
import re
import sys
from typing import Final, cast

import uvloop

MODEL: Final = "stub"
CHUNKS: Final = 64
LENGTH: Final = re.compile(rb"content-length:\s*(\d+)", re.IGNORECASE)
STREAM: Final = re.compile(rb'"stream"\s*:\s*true')
USAGE: Final = {"prompt_tokens": 10, "completion_tokens": CHUNKS, "total_tokens": 10 + CHUNKS}


def json_answer() -> bytes:
    message = {"role": "assistant", "content": "word " * CHUNKS}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    body = {"id": "chatcmpl-stub", "object": "chat.completion", "created": 1, "model": MODEL}
    return _whole({**body, "choices": [choice], "usage": USAGE})


def _whole(body: object) -> bytes:
    content = json.dumps(body).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(content)}"
    return head.encode() + b"\r\n\r\n" + content


def stream_answer() -> bytes:
    base = {"id": "chatcmpl-stub", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
    deltas: list[dict[str, object]] = [{"content": "word "} for _ in range(CHUNKS)]
    chunks: list[dict[str, object]] = [
        {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        for delta in deltas
    ]
    end = {"index": 0, "delta": {}, "finish_reason": "stop"}
    chunks += [{**base, "choices": [end]}, {**base, "choices": [], "usage": USAGE}]
    events = [f"data: {json.dumps(chunk)}\n\n".encode() for chunk in chunks]
    framed = b"".join(_framed(event) for event in [*events, b"data: [DONE]\n\n"])
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked"
    return head + b"\r\n\r\n" + framed + b"0\r\n\r\n"


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


LIST: Final = _whole({"object": "list", "data": [{"id": MODEL, "object": "model"}]})


class Stub(asyncio.Protocol):
    """Answers whatever is asked, one request after the other on a connection."""

    answers: Final = {False: json_answer(), True: stream_answer()}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is not a subclass.
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        while (end := self.received.find(b"\r\n\r\n") + 4) > 3:
            length = LENGTH.search(self.received, 0, end)
            total = end + (int(length[1]) if length else 0)
            if len(self.received) < total:
                return
            request, self.received = self.received[:total], self.received[total:]
            is_list = request.startswith(b"GET")
            answer = LIST if is_list else self.answers[bool(STREAM.search(request, end))]
            self.transport.write(answer)


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Stub, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
