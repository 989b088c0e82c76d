"""The ways in which the fake model provider answers, by name."""

import asyncio
import gzip

import orjson

from tests.fakes.answer import Answer, Behaviour
from tests.fakes.floods import FLOODS


async def _normal(it: Answer) -> None:
    await (it.stream(it.events()) if it.streams else it.whole(200, it.completion()))


async def _no_usage(it: Answer) -> None:
    if it.streams:
        await it.stream(it.events(usage=False))
    else:
        await it.whole(200, it.completion(usage=False))


async def _models(it: Answer) -> None:
    names = ["alpha", "beta"]
    await it.whole(200, orjson.dumps({"object": "list", "data": [{"id": x} for x in names]}))


async def _bytewise(it: Answer) -> None:
    """Every byte in its own chunk, so that it cannot be joined on the way."""
    await it.head(Content_Type="text/event-stream")
    for byte in b"".join(it.events()):
        await it.chunk(bytes([byte]))
    await it.end()


async def _crlf(it: Answer) -> None:
    """CRLF, comments, blank lines and an event name: all valid."""
    events = [event.replace(b"\n", b"\r\n") for event in it.events()]
    await it.stream([b": waiting\r\n\r\n", b"\r\n", b"event: message\r\n" + events[0], *events[1:]])


async def _cut(it: Answer) -> None:
    """Breaks off with a reset after some events (or half of the JSON)."""
    if it.streams:
        await it.head(Content_Type="text/event-stream")
        for event in it.events()[: it.upstream.cut_after]:
            await it.chunk(event)
    else:
        body = it.completion()
        await it.head(length=len(body))
        await it.send(body[: len(body) // 2])
    await asyncio.sleep(0.02)  # a reset overtakes what the client has not read yet
    it.reset()


async def _short(it: Answer) -> None:
    """Closes cleanly before the body is as long as was promised."""
    it.is_last = True
    if it.streams:
        await it.head(Content_Type="text/event-stream")
        await it.chunk(it.events()[0])
    else:
        body = it.completion()
        await it.head(length=len(body))
        await it.send(body[:-1])


async def _eof(it: Answer) -> None:
    """Ends without [DONE] or finish_reason, as if all were well."""
    await it.stream(it.events()[: it.upstream.cut_after])


async def _close_framed(it: Answer) -> None:
    """HTTP/1.0 style: the end of the connection is the end of the body."""
    it.is_last = True
    body = b"".join(it.events()) if it.streams else it.completion()
    await it.send(b"HTTP/1.1 200 X\r\nConnection: close\r\n\r\n" + body)


async def _silent(it: Answer) -> None:
    await it.forever()


async def _stall(it: Answer) -> None:
    """Headers, then nothing."""
    await it.head(Content_Type="text/event-stream")
    await it.forever()


async def _hang(it: Answer) -> None:
    """Three events, then nothing."""
    await it.head(Content_Type="text/event-stream")
    for event in it.events()[:4]:
        await it.chunk(event)
    await it.forever()


async def _gated(it: Answer) -> None:
    """One event for each `release()`; JSON after the first."""
    if not it.streams:
        await it.step()
        await it.whole(200, it.completion())
        return
    await it.head(Content_Type="text/event-stream")
    for event in it.events():
        await it.step()
        await it.chunk(event)
    await it.end()


async def _garbage(it: Answer) -> None:
    """Lines that are no events between good ones; or a body that is no JSON."""
    if it.streams:
        good = it.events()
        await it.stream([b"%%%\n\n", b"data: {broken\n\n", good[0], b"nonsense: 1\n\n", *good[1:]])
    else:
        await it.whole(200, b"<html>\xff\xfe not json")


async def _not_http(it: Answer) -> None:
    it.is_last = True
    await it.send(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")


async def _huge_line(it: Answer) -> None:
    """One event of five million bytes."""
    event = it.event([{"index": 0, "delta": {"content": "x" * 5_000_000}, "finish_reason": None}])
    await it.stream([event, *it.events()])


async def _huge_headers(it: Answer) -> None:
    await it.send(b"HTTP/1.1 200 X\r\n")
    for _ in range(1_000):
        await it.send(b"X-Filler: 0123456789\r\n" * 1_000)
    await it.send(b"Content-Length: 0\r\n\r\n")


async def _huge_body(it: Answer) -> None:
    """More than any answer may have."""
    await it.head()
    for _ in range(1_100):
        await it.chunk(b" " * 65_536)
    await it.end()


async def _gzip(it: Answer) -> None:
    await it.whole(200, gzip.compress(it.completion()), Content_Encoding="gzip")


async def _redirect(it: Answer) -> None:
    await it.whole(302, b"", Location="http://169.254.169.254/latest/", Set_Cookie="a=b")


async def _error_event(it: Answer) -> None:
    """Two words, then an error inside the stream."""
    error = b'data: {"error":{"message":"Provider exploded at https://h/x","code":502}}\n\n'
    await it.stream([*it.events()[:3], error])


async def _ignores_max(it: Answer) -> None:
    """Ten times more words than were asked for, and says so."""
    words, usage = it.upstream.words, it.upstream.usage
    it.upstream.words = words * 10
    it.upstream.usage = usage | {"completion_tokens": usage["completion_tokens"] * 10}
    try:
        await _normal(it)
    finally:
        it.upstream.words, it.upstream.usage = words, usage


async def _empty(it: Answer) -> None:
    """A whole answer without output."""
    words, it.upstream.words = it.upstream.words, []
    try:
        await _normal(it)
    finally:
        it.upstream.words = words


async def _other_form(it: Answer) -> None:
    """JSON for a stream, a stream for JSON."""
    await (it.whole(200, it.completion()) if it.streams else it.stream(it.events()))


async def _close_after(it: Answer) -> None:
    """Answers, promises to stay, and closes."""
    it.is_last = True
    await _normal(it)


def _status(status: int, message: str, **headers: str) -> Behaviour:
    async def behave(it: Answer) -> None:
        await it.error(status, message, **headers)

    return behave


BEHAVIOURS: dict[str, Behaviour] = {
    "400": _status(400, "Bad value of sk-secretsecret123 at https://internal.example/x."),
    "401": _status(401, "Incorrect API key provided: sk-secretsecret123."),
    "404": _status(404, "The model does not exist."),
    "429": _status(429, "Slow down.", Retry_After="7"),
    "500": _status(500, "Traceback: secret_host.internal"),
    "503": _status(503, "Overloaded."),
    "bytewise": _bytewise,
    "close-after": _close_after,
    "close-framed": _close_framed,
    "crlf": _crlf,
    "cut": _cut,
    "empty": _empty,
    "eof": _eof,
    "error-event": _error_event,
    "garbage": _garbage,
    "gated": _gated,
    "gzip": _gzip,
    "hang": _hang,
    "huge-body": _huge_body,
    "huge-headers": _huge_headers,
    "huge-line": _huge_line,
    "ignores-max": _ignores_max,
    "models": _models,
    "no-usage": _no_usage,
    "normal": _normal,
    "not-http": _not_http,
    "other-form": _other_form,
    "redirect": _redirect,
    "short": _short,
    "silent": _silent,
    "stall": _stall,
    **FLOODS,
}
