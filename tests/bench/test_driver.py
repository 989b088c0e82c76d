"""What the driver is asked, what it says, and the C of driver and stub at work."""

import json
import shutil
import socketserver
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import replace

import pytest

from config.dev import servers
from config.dev.process import NotStartedError, stop_all
from config.dev.state import State
from tests.bench import programs, targets
from tests.bench.cases import BY_NAME, CASES, Case
from tests.bench.driver import Address, Drive, command, drive, parse
from tests.bench.machine import own_cores

SECONDS = 0.2
EVENTS = 68
HAS_COMPILER = any(shutil.which(name) for name in programs.COMPILERS)


def test_a_run_is_read():
    printed = '{"answered": 9, "failed": 1, "example": "500: x", "p50_ms": 1.5, "ok": 8}\n'
    assert parse(printed) == Drive(9, 1, "500: x", {"p50_ms": 1.5, "ok": 8.0})


@pytest.mark.parametrize("printed", ["", "Segmentation fault", '{"ok": 1}'])
def test_what_is_no_run_is_refused_with_what_was_printed(printed):
    with pytest.raises(NotStartedError, match="the driver printed"):
        parse(printed)


def words(case: Case, address: Address, tmp_path) -> str:
    return " ".join(command(case, address, tmp_path / "body", SECONDS))


@pytest.mark.skipif(not HAS_COMPILER, reason="needs a C compiler")
def test_who_pays(tmp_path):
    spread, alone = Address(port=1, users=1000), Address(port=1, user="hot")
    assert "--users 1000" in words(BY_NAME["json1"], spread, tmp_path)
    assert "--users 0 --header X-Paywall-User: hot" in words(BY_NAME["json1"], alone, tmp_path)
    assert "--users 0 --header X-Paywall-User: broke" in words(
        BY_NAME["refuse64"], spread, tmp_path
    )


@pytest.mark.skipif(not HAS_COMPILER, reason="needs a C compiler")
def test_only_a_charge_has_keys(tmp_path):
    asked = {case.name for case in CASES if "--keys" in words(case, Address(port=1), tmp_path)}
    assert asked == {"charge64"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bodies_have_their_size_and_model(case: Case):
    body = case.body("stub/")
    told = json.loads(body)
    if case.name == "charge64":
        assert told == {"amount": "0.0001"}
    else:
        assert told["model"] == f"stub/{case.model}"
        assert told.get("stream", False) is case.stream
        assert case.prompt_bytes <= len(body) < case.prompt_bytes * 1.05 + 600


@pytest.fixture
def stub(tmp_path) -> Iterator[Address]:
    if not HAS_COMPILER:
        pytest.skip("needs a C compiler")
    state = State(tmp_path)
    state.prepare()
    port = servers.free_port()
    child = targets.start_stub(state, port)
    yield Address(port=port)
    stop_all([child], timeout_s=5)


def run(case: Case, address: Address, tmp_path) -> Drive:
    case = replace(case, warm_up_s=0.05, ramp_s=min(case.ramp_s, 0.05))
    asked = command(case, address, tmp_path / "body", SECONDS)
    return drive(asked, cores=own_cores(), sample_after_s=SECONDS, sample=lambda: None)


def counts(address: Address) -> dict[str, int]:
    with urllib.request.urlopen(f"http://127.0.0.1:{address.port}/stats") as answer:
        told: dict[str, int] = json.load(answer)
        return told


@pytest.mark.parametrize("name", ["json16", "prompt200k", "sse16", "burst16"])
def test_every_answer_is_counted_by_both_sides(name, stub, tmp_path):
    done = run(BY_NAME[name], stub, tmp_path)
    assert done.failed == 0, done.example
    assert done.answered >= done.figures["ok"] > 0
    is_stream = BY_NAME[name].stream
    streams = done.answered if is_stream else 0
    assert counts(stub) == {"requests": done.answered, "streams": streams, "aborted": 0}
    events = done.figures["events_per_second"] / done.figures["per_second"]
    assert events == pytest.approx(EVENTS, rel=0.2) if is_stream else not events


def test_a_paced_stream_keeps_its_pace(stub, tmp_path):
    done = run(replace(BY_NAME["first"], clients=4), stub, tmp_path)
    assert done.failed == 0, done.example
    assert 10 <= done.figures["gap_p50_ms"] < 20
    assert done.figures["first_event_p50_ms"] < done.figures["gap_p50_ms"]


def test_what_does_not_say_what_is_expected_failed_and_is_shown(stub, tmp_path):
    done = run(replace(BY_NAME["json1"], expect="what the stub never says"), stub, tmp_path)
    assert done.failed == done.answered > 0
    assert done.figures["ok"] == 0
    assert done.example.startswith("200: {")


class Canned(socketserver.ThreadingTCPServer):
    """Answers each request with `answer`, and hangs up."""

    answer = b""


class Say(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, Canned)
        self.request.recv(65_536)
        self.request.sendall(self.server.answer)


@pytest.fixture
def canned() -> Iterator[Canned]:
    with Canned(("127.0.0.1", 0), Say) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


GOOD = b"HTTP/1.1 200 OK\r\nconnection: close\r\n"
JSON = b'{"completion_tokens"}'
CHUNK = b"transfer-encoding: chunked\r\n\r\ne\r\ndata: [DONE]\n\n\r\n"


@pytest.mark.skipif(not HAS_COMPILER, reason="needs a C compiler")
@pytest.mark.parametrize(
    ("name", "answer", "example"),
    [
        ("json1", GOOD + b"content-length: 21\r\n\r\n" + JSON, ""),
        ("json1", GOOD + b"\r\n" + JSON, ""),
        ("json1", GOOD + b"content-length: 22\r\n\r\n" + JSON, "200 (cut): {"),
        ("json1", b"HTTP/1.1 500 No\r\ncontent-length: 21\r\n\r\n" + JSON, "500: {"),
        ("json1", b"HTTP/1.1 302 No\r\ncontent-length: 21\r\n\r\n" + JSON, "302: {"),
        ("sse1", GOOD + CHUNK + b"0\r\n\r\n", ""),
        ("sse1", GOOD + CHUNK, "200 (cut): data: [DONE]"),
        ("sse1", GOOD + CHUNK.replace(b"DONE", b"done") + b"0\r\n\r\n", "200: data: [done]"),
        ("sse1", b"", "0 (cut): "),
    ],
)
def test_only_a_whole_answer_of_the_right_kind_counts(name, answer, example, canned, tmp_path):
    canned.answer = answer
    address = Address(port=canned.server_address[1])
    done = run(BY_NAME[name], address, tmp_path)
    assert done.answered > 0
    assert done.failed == (done.answered if example else 0)
    assert done.example.startswith(example)
    assert bool(done.example) is bool(example)
