"""Bad inputs below JSON, byte by byte on the running product, and keys at the wrong door."""

import datetime as dt
import socket
from collections.abc import Sequence
from contextlib import suppress

import httpx
import orjson
import pytest
from asgiref.sync import sync_to_async
from django.test import Client

from config.dev.servers import HOST
from config.kit import clock
from tests.factories import DeveloperFactory, make_key
from tests.support.asks import chat
from tests.support.chats import request
from tests.support.product import CHARGE, MODEL, UNIT, Shop, Wallet, make_shop
from tests.support.streams import until

PATH = "/v1/chat/completions"
ANSWER_MOST = 1_000_000
WAIT_S = 5


@pytest.fixture
def user(shop: Shop) -> str:
    return shop.funded()


def say(
    shop: Shop, user: str, *lines: str, body: bytes = b"", path: str = PATH, stays: bool = True
) -> str:
    """Sends a request with these header lines as they are; what comes back.

    stays: whether the client waits for an answer, or is gone once it has sent all that it had.
    """
    payload = body or orjson.dumps(request(MODEL) | {"user": user})
    own = ["Content-Type: application/json", "Connection: close"]
    if not any(line.startswith("Authorization") for line in lines):
        own.append(f"Authorization: Bearer {shop.token}")
    if not any(line.startswith(("Content-Length", "Transfer-Encoding")) for line in lines):
        own.append(f"Content-Length: {len(payload)}")
    head = "\r\n".join([f"POST {path} HTTP/1.1", f"Host: {HOST}", *own, *lines]) + "\r\n\r\n"
    with socket.create_connection((HOST, shop.server.port), timeout=WAIT_S) as line:
        line.sendall(head.encode("latin-1") + payload)
        if not stays:
            line.shutdown(socket.SHUT_WR)
        return everything(line).decode("latin-1")


def everything(line: socket.socket) -> bytes:
    """All that comes until the other side closes; a reset is such an end too."""
    got = b""
    with suppress(ConnectionError):
        while len(got) < ANSWER_MOST and (piece := line.recv(65_536)):
            got += piece
    return got


def status(answer: str) -> int:
    """0: the connection was closed without a word."""
    return int(answer.split(" ")[1]) if answer else 0


def assert_refused(shop: Shop, user: str, fake, answer: str, *statuses: int) -> None:
    assert status(answer) in statuses, answer[:300]
    assert fake.requests == []
    assert shop.wallet(user) == Wallet(UNIT, 0)


@pytest.mark.proves("B8")
@pytest.mark.parametrize(
    "lines",
    [
        ["Authorization: Bearer a", "Authorization: Bearer b"],
        ["Idempotency-Key: a", "Idempotency-Key: b"],
        ["X-Paywall-User: a", "X-Paywall-User: b"],
        ["X-Filler: a\rX-Paywall-Mode: error"],
        ["X-Filler: a\nb c"],
        ["X-Filler: a\x00b"],
        ["X-Filler : a"],
        ["X-Paywall-Run: a\x01b"],
        ["X-Filler: " + "a" * 40_000],
        ["X-Filler: " + "a" * 1_000_000],
        [f"X-Filler-{number}: a" for number in range(10_000)],
    ],
    ids=lambda lines: f"{lines[0][:30]} {len(lines[0])}",
)
async def test_headers_that_are_broken_doubled_or_huge(shop, fake, user, lines: Sequence[str]):
    answer = await sync_to_async(say)(shop, user, *lines)
    assert_refused(shop, user, fake, answer, 400, 401, 431)


@pytest.mark.proves("B6")
async def test_a_boundary_of_a_hundred_thousand_dashes(shop, fake, user):
    kind = "Content-Type: multipart/form-data; boundary=" + "-" * 100_000
    answer = await sync_to_async(say)(shop, user, kind)
    assert_refused(shop, user, fake, answer, 400, 415, 431)


@pytest.mark.proves("B5")
@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: 999"],
        ["Content-Length: 5"],
        ["Content-Length: -1"],
        ["Content-Length: 1e3"],
        ["Content-Length: 10", "Content-Length: 20"],
        ["Content-Length: 10", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: gzip"],
        ["Content-Length: " + "9" * 30],
    ],
    ids=str,
)
async def test_lengths_that_are_none(shop, fake, user, lines):
    answer = await sync_to_async(say)(shop, user, *lines, stays=lines != ["Content-Length: 999"])
    assert_refused(shop, user, fake, answer, 0, 400, 413)


@pytest.mark.proves("B5")
async def test_a_body_in_chunks_is_a_body(shop, fake, user):
    body = orjson.dumps(request(MODEL) | {"user": user})
    chunks = b"".join(b"%x\r\n%b\r\n" % (1, bytes([byte])) for byte in body) + b"0\r\n\r\n"
    answer = await sync_to_async(say)(shop, user, "Transfer-Encoding: chunked", body=chunks)
    assert status(answer) == 200
    assert shop.wallet(user) == Wallet(UNIT - CHARGE, 0)


@pytest.mark.proves("B7")
@pytest.mark.parametrize("path", [f"{PATH}/", f"/{PATH}", f"/v1/.{PATH[3:]}", PATH.upper()])
async def test_other_spellings_of_a_path_lose_neither_key_nor_body(shop, fake, user, path):
    answer = await sync_to_async(say)(shop, user, "Authorization: Bearer none", path=path)
    assert status(answer) in (401, 404)
    assert fake.requests == []
    answer = await sync_to_async(say)(shop, user, path=path)
    assert status(answer) in (200, 404)
    assert shop.wallet(user).posted == UNIT - CHARGE * len(fake.requests)


@pytest.mark.proves("B12", "B16")
async def test_what_the_provider_must_judge_reaches_it_as_it_is(shop, http, fake, user):
    messages = [
        {"role": "narrator", "content": "Once", "mood": "gloomy"},
        {"role": "tool", "content": "42", "tool_call_id": "of no call"},
        {"role": "assistant", "content": None},
    ]
    assert (await chat(http, shop, user, messages=messages, top_secret=1)).status_code == 200
    assert fake.requests[0].json["messages"] == messages
    assert fake.requests[0].json["top_secret"] == 1


@pytest.mark.proves("B21")
async def test_one_id_in_two_paywalls_is_two_wallets(product, shop, http, fake, user):
    other = await sync_to_async(make_shop)(product, fake.url)
    answer = await chat(http, other, user)
    assert answer.headers["x-paywall-decision"] == "topup_required"
    assert fake.requests == []
    assert (await chat(http, shop, user)).status_code == 200
    assert shop.wallet(user) == Wallet(UNIT - CHARGE, 0)
    assert other.wallet(user) == Wallet(0, 0)


@pytest.mark.proves("B22")
async def test_an_expired_key_and_one_with_another_ending(shop, http, fake, user):
    soon = clock.now() + dt.timedelta(seconds=0.2)
    _, expired = await sync_to_async(make_key)(shop.paywall, expires_at=soon)
    await until(lambda: clock.now() > soon)
    flipped = shop.token[:-1] + ("a" if shop.token[-1] != "a" else "b")
    for token in (expired, flipped):
        answer = await chat(http, shop, user, headers={"Authorization": f"Bearer {token}"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
    assert fake.requests == []
    assert shop.wallet(user) == Wallet(UNIT, 0)


@pytest.mark.proves("B24")
async def test_a_session_opens_no_api_and_a_key_opens_no_page(shop, http, fake, user):
    site = Client()
    staff = await sync_to_async(DeveloperFactory.create)(is_staff=True, is_superuser=True)
    await sync_to_async(site.force_login)(staff)
    cookie = {"Cookie": "; ".join(f"{name}={it.value}" for name, it in site.cookies.items())}
    body = request(MODEL) | {"user": user}
    answer = await http.post(f"{shop.api}/chat/completions", json=body, headers=cookie)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
    admin = f"{shop.server.url}/admin/"
    assert (await http.get(admin, headers=cookie)).status_code == 200
    page = await http.get(admin, headers=shop.headers)
    assert page.status_code == 302
    assert "/login/" in page.headers["location"]
    assert fake.requests == []


@pytest.mark.proves("B26")
@pytest.mark.parametrize("path", ["/user/charge", "/user/balance/deposit"])
@pytest.mark.parametrize("currency", ["EUR", "JPY", "KWD", "XXX", "US", "", 840, ["USD"]])
async def test_another_currency_is_never_taken_for_the_paywalls(
    shop, http: httpx.AsyncClient, user, path, currency
):
    body = {"user": user, "amount": "1", "currency": currency}
    answer = await http.post(shop.api + path, json=body, headers=shop.headers)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "currency")
    assert shop.wallet(user) == Wallet(UNIT, 0)


@pytest.mark.proves("B26")
@pytest.mark.parametrize("named", [{}, {"currency": "USD"}, {"currency": "usd"}], ids=str)
async def test_the_paywalls_own_currency_may_be_named(shop, http, user, named):
    body = {"user": user, "amount": "1"} | named
    answer = await http.post(f"{shop.api}/user/charge", json=body, headers=shop.headers)
    assert answer.json()["success"] is True
    assert shop.wallet(user) == Wallet(0, 0)
