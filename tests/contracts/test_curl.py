"""Plain HTTP: by Python's own client, and by curl where the machine has one."""

import http.client
import shutil
import subprocess
from collections.abc import Callable

import orjson
import pytest

from tests.contracts.conftest import Paying
from tests.support.product import Shop

Ask = Callable[[Shop, bytes], tuple[dict[str, str], str]]


def by_curl(shop: Shop, body: bytes) -> tuple[dict[str, str], str]:
    """Headers and body of the 200 that answers a chat."""
    options = ["--silent", "--show-error", "--include", "--no-buffer", "--noproxy", "*"]
    options += ["--header", f"Authorization: Bearer {shop.token}"]
    options += ["--header", "Content-Type: application/json", "--data", body.decode()]
    address = f"{shop.api}/chat/completions"
    done = subprocess.run(["curl", *options, address], capture_output=True, check=True, timeout=20)
    head, _, text = done.stdout.decode().partition("\r\n\r\n")
    status, *lines = head.splitlines()
    assert status.split(" ")[1] == "200"
    return dict(line.split(": ", 1) for line in lines), text


def by_hand(shop: Shop, body: bytes) -> tuple[dict[str, str], str]:
    """The same by Python's own client."""
    line = http.client.HTTPConnection("127.0.0.1", shop.server.port, timeout=20)
    try:
        headers = shop.headers | {"Content-Type": "application/json"}
        line.request("POST", "/v1/chat/completions", body, headers)
        answer = line.getresponse()
        assert answer.status == 200
        return dict(answer.getheaders()), answer.read().decode()
    finally:
        line.close()


@pytest.fixture(params=[by_hand, *([by_curl] if shutil.which("curl") else [])])
def ask(request: pytest.FixtureRequest) -> Ask:
    asked: Ask = request.param
    return asked


def chat(user: str, **more: object) -> bytes:
    messages = [{"role": "user", "content": "Hello!"}]
    return orjson.dumps({"model": "echo-1", "user": user, "messages": messages, **more})


def test_json(ask: Ask, shop: Shop, user: str, paying: Paying):
    with paying() as bill:
        headers, body = ask(shop, chat(user))
        bill.add(headers["x-paywall-cost"])
    assert orjson.loads(body)["choices"][0]["message"]["role"] == "assistant"


def test_stream(ask: Ask, shop: Shop, user: str, paying: Paying):
    with paying() as bill:
        sent = chat(user, stream=True, stream_options={"include_usage": True})
        headers, body = ask(shop, sent)
        *events, usage, end = [line for line in body.splitlines() if line]
        bill.add(orjson.loads(usage.removeprefix("data: "))["usage"]["cost"])
    assert headers["content-type"].startswith("text/event-stream")
    assert end == "data: [DONE]"
    assert all(event.startswith("data: {") for event in events)
    assert len(events) > 20


@pytest.mark.parametrize("stream", [False, True])
def test_who_has_no_money(ask: Ask, shop: Shop, stream: bool):
    headers, body = ask(shop, chat("curl_broke", stream=stream))
    assert headers["x-paywall-decision"] == "topup_required"
    assert "/v1/checkout/" in body
