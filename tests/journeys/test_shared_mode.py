"""One wallet in two apps, as a person lives it: over HTTP, in a browser without JavaScript."""

import re
from collections.abc import AsyncIterator
from html import unescape

import httpx
import pytest
from asgiref.sync import sync_to_async

from config.kit import ids
from config.kit.money import NANOS
from ledger.models import Account
from paywalls.models import Paywall, Person
from tests.factories import PaywallFactory, PriceVersionFactory, make_key
from tests.support.chats import request
from tests.support.product import CHARGE, MODEL, Server, Shop, sell
from tests.support.shared import give

HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')
USER = "ada"
LIMIT_ANSWERS_MOST = 30


@pytest.fixture
async def apps(product: Server, fake, books: None) -> list[Shop]:
    """Two apps of two developers."""

    def made(name: str) -> Shop:
        paywall = PaywallFactory.create(mode=Paywall.Mode.SHARED, name=name)
        PriceVersionFactory.create(paywall=paywall)
        sell(paywall, fake.url)
        return Shop(product, paywall, *make_key(paywall))

    return [await sync_to_async(made)(name) for name in ("Poems", "Recipes")]


@pytest.fixture
async def browser() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=20, trust_env=False, follow_redirects=True) as client:
        yield client


async def chat(http: httpx.AsyncClient, app: Shop) -> dict[str, str]:
    body = request(MODEL, max_tokens=5) | {"user": USER}
    answer = await http.post(f"{app.api}/chat/completions", json=body, headers=app.headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, str] = answer.json().get("paywall", {"status": "answered", "url": ""})
    return found


async def press(browser: httpx.AsyncClient, url: str, **fields: str) -> httpx.Response:
    """Open a page and send its form, as one does who has read it."""
    page = await browser.get(url)
    hidden = {name: unescape(value) for name, value in HIDDEN.findall(page.text)}
    return await browser.post(str(page.url), data={**hidden, **fields})


async def mailed(browser: httpx.AsyncClient, server: Server, pattern: str) -> str:
    """What fits in the newest mail of the mailbox."""
    page = await browser.get(f"{server.url}/demo/mailbox")
    return str(re.findall(pattern, unescape(page.text))[0])


async def sign_in(browser: httpx.AsyncClient, server: Server, url: str) -> httpx.Response:
    """From the link in the chat to the page behind it."""
    email = f"{ids.uuid7().hex}@example.com"
    asked = await press(browser, url, email=email)
    code = await mailed(browser, server, r"(\d{6}) is your code")
    return await press(browser, str(asked.url), code=code)


ALLOW = {"do": "allow", "period": "month", "most": "", "ends": ""}
SMALL = "0.0004"
"""A limit that some answers use up."""


@pytest.mark.slow
async def test_one_wallet_in_two_apps(apps, product, http, browser):
    poems, recipes = apps
    link = await allowed_and_filled(poems, product, http, browser)
    answers = await up_to_the_limit(poems, http, browser, link)
    second = await chat(http, recipes)
    assert second["status"] == "authorization_required"
    await press(browser, second["url"], cap="1.00", **ALLOW)
    assert (await chat(http, recipes))["status"] == "answered"
    person = await Person.objects.alatest("created_at")
    wallet = await Account.objects.aget(kind="wallet", owner=person.pk)
    assert (wallet.posted, wallet.held) == (NANOS - (answers + 1) * CHARGE, 0)
    home = (await browser.get(f"{product.url}/wallet")).text
    assert [app in home for app in ("Poems", "Recipes")] == [True, True]

    await press(browser, link, do="revoke")
    assert (await chat(http, poems))["status"] == "authorization_required"
    assert (await chat(http, recipes))["status"] == "answered"
    stop = await mailed(browser, product, r'href="(http://\S+/stop/\w+)"')
    async with httpx.AsyncClient(timeout=20, trust_env=False) as stranger:
        assert "cannot spend" in (await press(stranger, stop)).text
    assert (await chat(http, recipes))["status"] == "authorization_required"


async def allowed_and_filled(app, server, http, browser) -> str:
    """A new person follows the link of a chat and allows the app; returns the link."""
    first = await chat(http, app)
    assert first["status"] == "authorization_required"
    page = await sign_in(browser, server, first["url"])
    assert str(page.url) == first["url"]
    assert "May Poems spend from your wallet?" in page.text
    done = await press(browser, first["url"], cap=SMALL, **ALLOW)
    assert "Your wallet is empty" in done.text
    empty = await chat(http, app)
    assert (empty["status"], empty["url"]) == ("topup_required", first["url"])
    person = await Person.objects.alatest("created_at")
    await sync_to_async(give)(person, NANOS)
    return str(first["url"])


async def up_to_the_limit(app, http, browser, link: str) -> int:
    """Chats until the limit is used up, then raises it; returns how many were answered."""
    seen = [await chat(http, app)]
    while seen[-1]["status"] == "answered" and len(seen) < LIMIT_ANSWERS_MOST:
        seen.append(await chat(http, app))
    assert seen[-1] == {"status": "cap_reached", "reason": "cap_reached", "url": link}
    assert len(seen) > 1
    raised = await press(browser, link, **{**ALLOW, "do": "change"}, cap="1.00")
    assert "Saved." in raised.text
    assert (await chat(http, app))["status"] == "answered"
    return len(seen)
