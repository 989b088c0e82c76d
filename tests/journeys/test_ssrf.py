"""B30 to B49 through every place that takes an address: no packet leaves, and nothing is told."""

import time
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from asgiref.sync import sync_to_async

from config.dev.servers import free_port
from providers.models import Model
from tests.factories import PaywallFactory, PriceVersionFactory, make_key
from tests.fakes.canary import Canary
from tests.support import places
from tests.support.asks import chat
from tests.support.product import COST, MODEL, UNIT, Server, Shop, Wallet, start_web

TOLD_MOST_S = 15.0
"""A network that says nothing is waited for much longer."""

ADDRESSES = {
    "B30": ["http://127.0.0.1:{port}/v1", "https://127.0.0.1:{port}/v1"],
    "B31": ["http://[::1]:{port}/v1", "https://[::1]:{port}/v1"],
    "B32": ["http://2130706433:{port}/", "https://2130706433/", "http://0x7f000001:{port}/"],
    "B33": ["http://0177.0.0.1:{port}/", "https://0177.0.0.1/"],
    "B34": ["http://127.1:{port}/", "http://0:{port}/", "https://0/", "https://0.0.0.0:8443/"],
    "B35": ["http://①②⑦.⓪.⓪.①:{port}/", "https://①②⑦.⓪.⓪.①/"],
    "B36": ["http://[::ffff:7f00:1]:{port}/", "https://[::ffff:a9fe:a9fe]/"],
    "B37": ["https://[64:ff9b::a9fe:a9fe]/", "https://[64:ff9b::7f00:1]/"],
    "B38": ["https://[2002:7f00:1::]/"],
    "B39": ["https://100.100.100.200/", "https://168.63.129.16/", "http://169.254.169.254/"],
    "B40": ["http://good.com@127.0.0.1:{port}/", "http://127.0.0.1:{port}\\@good.com/"],
    "B41": ["http://127.0.0.1:{port}#@good.com/", "https://good.com#@127.0.0.1:{port}/"],
    "B42": ["http://127.0.\t0.1:{port}/", "https://exa\tmple.com/", "http://127.0.0.1:{port}/\r\nX"],
    "B43": ["http://127.0.0.1%00.good.com:{port}/", "http://h%00.good.com/"],
    "B47": ["file:///etc/passwd", "gopher://127.0.0.1:{port}/", "ftp://127.0.0.1:{port}/",
            "unix:/run/x.sock", "//127.0.0.1:{port}/", "http:///etc"],
    "B48": ["http://localhost:{port}/", "https://localhost.:{port}/", "https://db.internal/",
            "https://printer.local/", "{own}/v1"],
    "B49": ["https://127.0.0.1:22/", "https://good.com:25/", "https://good.com:5432/",
            "https://good.com:6379/", "https://a:b@127.0.0.1:{port}/",
            "http://127.0.0.1:{port}/" + "a" * 5_000],
}  # fmt: skip
"""Those that lead to a listener of this test's where they can. B44 to B46 need a name or an answer:
tests/journeys/test_rebinding.py."""


@pytest.fixture
async def canary() -> AsyncIterator[Canary]:
    async with Canary() as listening:
        yield listening
        assert listening.packets == 0


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The product of an operator who lists no host."""
    server = start_web(tmp_path_factory.mktemp("strict"), EGRESS_ALLOW="", DEMO_PROVIDER_URL="")
    yield server
    server.kill()


def addresses(canary: Canary, own: str = "http://127.0.0.1:9") -> list[str]:
    return [
        text.format(port=canary.port, own=own) for group in ADDRESSES.values() for text in group
    ]


NUMBERS = pytest.mark.proves(
    "B30", "B31", "B32", "B33", "B34", "B35", "B36", "B37", "B38", "B39", "B40", "B41", "B42",
    "B43", "B47", "B48", "B49",
)  # fmt: skip


@NUMBERS
@pytest.mark.parametrize("place", places.PLACES)
async def test_no_place_connects(canary, settings, place):
    settings.EGRESS_ALLOW = ()

    def try_all() -> None:
        paywall = PaywallFactory.create()
        for url in addresses(canary, settings.BASE_URL):
            began = time.monotonic()
            said = places.told(places.PLACES[place], paywall, url)
            assert time.monotonic() - began < TOLD_MOST_S, url
            assert said != "saved", url
            assert not said.startswith(("Connected", "The provider")), (url, said)

    await sync_to_async(try_all)()


@NUMBERS
async def test_no_chat_connects(canary, strict, http):
    shop = await sync_to_async(plain_shop)(strict)
    user = await sync_to_async(shop.funded)()
    urls = addresses(canary, strict.url)
    models = await sync_to_async(plant)(shop, urls)
    for url, model in zip(urls, models, strict=True):
        answer = await chat(http, shop, user, model)
        assert (answer.status_code, code(answer)) == (404, "model_not_found"), url
    assert shop.wallet(user) == Wallet(UNIT, 0)


@pytest.mark.proves("F69")
async def test_nobody_learns_whether_somebody_listens(canary, strict, http, settings):
    """Words, status and time are the same for an open port and for one where nobody is."""
    settings.EGRESS_ALLOW = ()
    shop = await sync_to_async(plain_shop)(strict)
    user = await sync_to_async(shop.funded)()
    ports = [canary.port, free_port()]
    urls = [f"https://127.0.0.1:{port}/v1" for port in ports]

    def tell(place: places.Place) -> set[str]:
        return {
            places.told(place, shop.paywall, url).replace(str(port), "")
            for port, url in zip(ports, urls, strict=True)
        }

    for place in places.PLACES.values():
        assert len(await sync_to_async(tell)(place)) == 1
    models = await sync_to_async(plant)(shop, urls)
    heard = [await chat(http, shop, user, model) for model in models]
    first, second = (
        answer.text.replace(model, "").replace(answer.headers["x-request-id"], "")
        for answer, model in zip(heard, models, strict=True)
    )
    assert first == second
    assert max(answer.elapsed.total_seconds() for answer in heard) < TOLD_MOST_S


@pytest.mark.proves("B12", "F69")
@pytest.mark.parametrize("stream", [False, True])
async def test_an_image_is_the_providers_to_fetch(canary, shop, http, fake, stream):
    """The product may connect to 127.0.0.1 here, and yet does not."""
    user = await sync_to_async(shop.funded)()
    urls = [f"http://127.0.0.1:{canary.port}/x.png", "http://169.254.169.254/latest/"]
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    messages = [{"role": "user", "content": parts}]
    answer = await chat(http, shop, user, stream=stream, messages=messages)
    assert answer.status_code == 200
    assert fake.requests[0].json["messages"] == messages


@pytest.mark.proves("B48")
async def test_we_do_not_ask_ourselves_even_where_the_operator_lists_us(shop, http):
    """The running product lists all of 127.0.0.0/8, where it is itself."""
    user = await sync_to_async(shop.funded)()
    (model,) = await sync_to_async(plant)(shop, [f"{shop.server.url}/v1"])
    answer = await chat(http, shop, user, model)
    assert (answer.status_code, code(answer)) == (404, "model_not_found")


def plain_shop(server: Server) -> Shop:
    """A shop without a connection."""
    paywall = PaywallFactory.create()
    PriceVersionFactory.create(paywall=paywall)
    return Shop(server, paywall, *make_key(paywall))


def plant(shop: Shop, urls: list[str]) -> list[str]:
    """A connection and a model for each address, past every check; the models' ids."""
    rows = [places.planted(shop.paywall, url) for url in urls]
    for row in rows:
        Model.objects.create(kind=row.kind, connection=row, name=MODEL, cost=COST, source="tests")
    return [f"{row.name}/{MODEL}" for row in rows]


def code(answer: httpx.Response) -> str:
    return str(answer.json()["error"]["code"])
