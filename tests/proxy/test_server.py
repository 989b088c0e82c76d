"""The public API through a real HTTP server: what only bytes on a socket can show."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx
import openai
import pytest

from config.kit.limits import JSON_BODY_BYTES_MAX
from providers.models import Model
from proxy.asgi import Application
from tests.factories import ConnectionFactory
from tests.proxy.server import serving
from tests.proxy.tenant import make_tenant

BALANCE = "/v1/user/balance"
DEPOSIT = "/v1/user/balance/deposit"


@dataclass(frozen=True, slots=True)
class Server:
    """Where the API answers, for a key with one priced model."""

    host: str
    port: int
    token: str

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def client(self) -> httpx.Client:
        return httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {self.token}"}, timeout=10
        )

    def raw(self, request: bytes, *, end: bool = False) -> bytes:
        """What comes back for these bytes until the server closes or says no more."""
        with socket.create_connection((self.host, self.port), timeout=5) as line:
            line.sendall(request)
            if end:
                line.shutdown(socket.SHUT_WR)
            return line.recv(65_536)

    def head(self, *lines: str, start: str = f"POST {DEPOSIT}") -> bytes:
        return "\r\n".join(
            [
                f"{start} HTTP/1.1",
                "Host: test",
                f"Authorization: Bearer {self.token}",
                *lines,
                "",
                "",
            ]
        ).encode("latin-1")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(Application()) as (host, port):
        tenant = make_tenant(Application())
        made = ConnectionFactory.create(paywall=tenant.paywall, name="demo")
        Model.objects.create(
            kind=made.kind,
            connection=made,
            name="echo",
            display_name="Echo",
            cost={"prompt": 1_000_000_000, "completion": 2_000_000_000},
            source="tests",
        )
        yield Server(host, port, tenant.token)


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


class TestBytes:
    def test_b5_chunked_without_a_length(self, server):
        def pieces():
            yield b'{"user": "chunked", '
            yield b'"amount": "1"}'

        with server.client() as client:
            answer = client.post(
                DEPOSIT, content=pieces(), headers={"Content-Type": "application/json"}
            )
        assert answer.json()["balanceFormatted"] == "1.000000"

    def test_b5_chunked_beyond_the_limit(self, server):
        with server.client() as client:
            answer = client.post(DEPOSIT, content=(b" " * 1_000 for _ in range(100)))
        assert answer.status_code == 413

    def test_b5_a_body_shorter_than_it_says(self, server):
        assert server.raw(server.head("Content-Length: 100") + b'{"user":', end=True) == b""

    def test_b5_a_body_longer_than_it_says(self, server):
        body = b'{"user": "long", "amount": "1"}'
        sent = server.head(f"Content-Length: {len(body)}") + body + b"tail\r\n\r\n"
        answer = server.raw(sent)
        assert status(answer) == 400
        assert answer.count(b"HTTP/1.1") == 1

    def test_b5_length_and_chunks_together(self, server):
        sent = server.head("Content-Length: 4", "Transfer-Encoding: chunked") + b"0\r\n\r\n"
        assert status(server.raw(sent)) == 400

    @pytest.mark.parametrize("length", ["-1", "1e1", "0x10", " ", "9" * 30])
    def test_b5_lengths_that_are_none(self, server, length: str):
        assert status(server.raw(server.head(f"Content-Length: {length}"))) in (400, 413)

    def test_b8_line_breaks_in_a_header(self, server):
        answer = server.raw(server.head("X-Paywall-User: a\rX-Evil: 1", start=f"GET {BALANCE}"))
        assert status(answer) == 400

    def test_b8_a_header_of_64_kb(self, server):
        answer = server.raw(server.head(f"X-Paywall-User: {'x' * 65_536}", start=f"GET {BALANCE}"))
        assert status(answer) == 400

    def test_a_refused_body_does_not_become_the_next_request(self, server):
        smuggled = server.head("Content-Length: 0")
        sent = server.head(f"Content-Length: {JSON_BODY_BYTES_MAX + 1}") + smuggled
        answer = server.raw(sent)
        assert status(answer) == 413
        assert answer.count(b"HTTP/1.1") == 1

    def test_one_connection_serves_after_a_refusal(self, server):
        with server.client() as client:
            assert client.post(DEPOSIT, json={"user": "u", "amount": "0"}).status_code == 400
            assert client.post(f"{DEPOSIT}/", json={"user": "u", "amount": "1"}).status_code == 200


class TestUsers:
    @pytest.mark.parametrize("user", ["acme:user_1", "Zoë", "a@b.example", "👩‍🚀"])
    def test_the_address_can_name_the_user(self, server, user: str):
        with server.client() as client:
            path = f"/v1/{user}/user/balance/deposit"
            assert client.post(path, json={"amount": "1"}).status_code == 200
            assert client.get("/v1/user/balance", params={"user": user}).json()["balance"] == (
                "1000000"
            )

    def test_a_user_with_a_slash_is_refused_there(self, server):
        with server.client() as client:
            answer = client.get("/v1/a%2fb/user/balance")
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "user")


class TestParallel:
    def test_ten_of_forty_charges_pass(self, server):
        with server.client() as client:
            client.post(DEPOSIT, json={"user": "ten", "amount": "10"})

            def charge(_number: int) -> bool:
                sent = {"user": "ten", "amount": "1"}
                return bool(client.post("/v1/user/charge", json=sent).json()["success"])

            with ThreadPoolExecutor(16) as threads:
                passed = sum(threads.map(charge, range(40)))
            left = client.get("/v1/user/balance?user=ten").json()["balance"]
        assert (passed, left) == (10, "0")


class TestOpenaiClient:
    @pytest.fixture
    def client(self, server) -> Iterator[openai.OpenAI]:
        made = openai.OpenAI(api_key=server.token, base_url=f"{server.url}/v1", max_retries=0)
        with made:
            yield made

    def test_models_at_selling_prices(self, client):
        # Other tests may have filled the catalogue of this kind.
        (model,) = (found for found in client.models.list() if found.id == "demo/echo")
        assert model.owned_by == "demo"
        assert model.pricing == {
            "prompt": "1.2",
            "completion": "2.4",
            "request": "0",
            "minimum": "0",
            "input_cache_read": "1.2",
        }

    def test_refusals_are_its_own_exceptions(self, client, server):
        messages = [{"role": "user", "content": "hi"}]
        with pytest.raises(openai.BadRequestError) as refusal:
            client.chat.completions.create(model="demo/echo", messages=messages)
        assert (refusal.value.code, refusal.value.param) == ("missing_user", "user")
        assert refusal.value.request_id.startswith("req_")
        with pytest.raises(openai.AuthenticationError):
            client.with_options(api_key="sk-wrong").models.list()
        with pytest.raises(openai.NotFoundError) as missing:
            client.chat.completions.create(model="nothing", messages=messages, user="u")
        assert missing.value.code == "model_not_found"


def test_it_stops_while_connections_are_open():
    before = threading.active_count()
    with serving(Application()) as (host, port), httpx.Client() as client:
        assert client.get(f"http://{host}:{port}/healthz").json() == {"status": "ok"}
    assert threading.active_count() == before
