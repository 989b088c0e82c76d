"""B44 to B46: names and answers that change where a packet would go, on the running product."""

import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace

import httpx
import orjson
import pytest
from asgiref.sync import sync_to_async

from config.dev.servers import HOST
from config.kit import egress
from tests.factories import PaywallFactory
from tests.fakes.canary import Canary
from tests.fakes.upstream import FakeUpstream
from tests.support import places
from tests.support.asks import chat
from tests.support.environment import worker_number
from tests.support.product import CHARGE, UNIT, Server, Shop, Wallet, make_shop, start_web
from tests.support.sources import ROOT
from tests.support.tls import certificate_for

GOOD, INSIDE = (f"127.7.{worker_number()}.{last}" for last in (1, 2))
"""The operator lists the first; the second is where nobody may go."""

PORT = 8443
NAMES = {
    "both.example": [[GOOD, INSIDE]],
    "inside.example": [[INSIDE]],
    "turns.example": [[GOOD], [INSIDE]],
}
NAMES_FOLDER = ROOT / "tests" / "fakes" / "names"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate_for(*NAMES, folder=tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def server(certificate: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The product, in a world where names resolve as NAMES says."""
    server = start_web(
        tmp_path_factory.mktemp("names"),
        EGRESS_ALLOW=GOOD,
        FAKE_NAMES=orjson.dumps(NAMES).decode(),
        PYTHONPATH=f"{ROOT}:{NAMES_FOLDER}",
        SSL_CERT_FILE=str(certificate),
    )
    yield server
    server.kill()


@pytest.fixture
async def good(certificate: Path) -> AsyncIterator[FakeUpstream]:
    """An honest provider, which keeps no connection open."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    async with FakeUpstream("close-after", host=GOOD, port=PORT, tls=context) as running:
        yield running


@pytest.fixture
async def canary() -> AsyncIterator[Canary]:
    async with Canary([INSIDE], PORT) as listening:
        yield listening
        assert listening.packets == 0


async def shop_at(server: Server, name: str) -> tuple[Shop, str]:
    shop = await sync_to_async(make_shop)(server, f"https://{name}:{PORT}/v1")
    return shop, await sync_to_async(shop.funded)()


def is_unreachable(answer: httpx.Response) -> bool:
    return answer.status_code == 502 and answer.json()["error"]["code"] == "upstream_error"


@pytest.mark.proves("B44", "F69")
@pytest.mark.parametrize("name", ["both.example", "inside.example"])
async def test_one_private_address_of_a_name_is_one_too_many(
    server, http, good, canary, aftermath, name
):
    shop, user = await shop_at(server, name)
    assert is_unreachable(await chat(http, shop, user))
    assert good.connections == 0
    assert shop.wallet(user) == Wallet(UNIT, 0)


@pytest.mark.proves("B45", "F69")
async def test_a_name_that_moves_inside_is_not_followed(server, http, good, canary, aftermath):
    """The first answer is good, and a chat goes there; the next connection is checked anew."""
    shop, user = await shop_at(server, "turns.example")
    first = await chat(http, shop, user)
    assert (first.status_code, good.connections) == (200, 1)
    assert is_unreachable(await chat(http, shop, user))
    assert good.connections == 1
    assert shop.wallet(user) == Wallet(UNIT - CHARGE, 0)


@pytest.mark.proves("B44", "B45", "F69")
@pytest.mark.parametrize("place", places.USES)
async def test_elsewhere_too_a_name_is_asked_once_and_all_it_says_is_checked(
    canary, settings, monkeypatch, place
):
    settings.EGRESS_ALLOW = (HOST,)
    asked: list[str] = []

    def resolve(host: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        asked.append(host)
        answers = NAMES[host]
        found = answers[min(len(asked), len(answers)) - 1]
        # This process may connect to no other address of its own.
        return [(0, 0, 0, "", (HOST if each == GOOD else each, PORT)) for each in found]

    words = {name: getattr(egress.socket, name) for name in ("SOCK_STREAM", "IPPROTO_TCP")}
    monkeypatch.setattr(egress, "socket", SimpleNamespace(getaddrinfo=resolve, **words))

    def try_names() -> None:
        paywall = PaywallFactory.create()
        for name in NAMES:
            asked.clear()
            said = places.told(places.USES[place], paywall, f"https://{name}:{PORT}/v1")
            assert asked == [name]
            is_inside = name != "turns.example"
            assert ("private or reserved network" in said) == is_inside

    await sync_to_async(try_names)()


@pytest.mark.proves("B46", "F69")
@pytest.mark.parametrize("status", [302, 307])
async def test_a_redirect_inside_is_not_followed(shop, http, fake, settings, status):
    async with Canary([INSIDE]) as canary:
        inside = f"http://{INSIDE}:{canary.port}/v1/chat/completions".encode()
        fake.script = [
            b"HTTP/1.1 %d X\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n" % (status, inside)
        ]
        fake.behaviour = "raw"
        user = await sync_to_async(shop.funded)()
        answer = await chat(http, shop, user)
        assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_error")
        for place in places.ASKED.values():
            said = await sync_to_async(places.told)(place, shop.paywall, fake.url)
            assert said.startswith("The provider")
            assert INSIDE not in said
        assert len(fake.requests) == 1 + len(places.ASKED)
        assert canary.packets == 0
    assert shop.wallet(user) == Wallet(UNIT, 0)
