"""Every place that takes an address which somebody outside chose, for the matrix of B30 to B49.

To add one: a function from a paywall and an address to what that somebody is told, in `PLACES`. It
may raise a refusal or answer with one; it must not connect.
"""

import asyncio
import ssl
from collections.abc import Callable
from functools import cache
from typing import Any, Final

from django.core.management import CommandError
from django.db import transaction
from django.test import Client
from django.urls import reverse

from billing.stripe import orders
from billing.stripe.catalog import PaymentSettings
from billing.webhooks import subscriptions
from billing.webhooks.listening import Ear
from billing.webhooks.models import Subscription
from billing.webhooks.network import Poster
from billing.webhooks.words import Words
from config.kit import egress, ids
from config.kit.errors import PaywallsError
from paywalls.models import Paywall
from providers import connections
from providers.connections import BASE_URL_CHARS_MAX
from providers.models import Connection
from tests.factories import ACTOR, ConnectionFactory, DeveloperFactory
from tests.support.commands import run

GOOD: Final = "https://models.example.com/v1"

Place = Callable[[Paywall, str], str]


def planted(paywall: Paywall, url: str) -> Connection:
    """A connection whose address, as far as it fits, came into its row past every check."""
    fits, name = url[:BASE_URL_CHARS_MAX], f"c{ids.uuid7().hex}"
    return ConnectionFactory.create(paywall=paywall, kind="compatible", name=name, base_url=fits)


def _create(paywall: Paywall, url: str) -> str:
    draft = connections.Draft(kind="compatible", base_url=url)
    with transaction.atomic():
        connections.create(paywall, draft, actor=ACTOR)
    return "saved"


def _change(paywall: Paywall, url: str) -> str:
    connection = planted(paywall, GOOD)
    with transaction.atomic():
        connections.update(connection, {"base_url": url}, actor=ACTOR)
    return "saved"


def _command(paywall: Paywall, url: str) -> str:
    options = ["--paywall", paywall.public_id, "--kind", "compatible", f"--base-url={url}"]
    return run("connect_provider", *options)


def _form(paywall: Paywall, url: str, **more: object) -> dict[str, Any]:
    return {
        "paywall": paywall.pk,
        "kind": "compatible",
        "name": f"c{ids.uuid7().hex}",
        "base_url": url,
        "position": 0,
        "settlement": "{}",
        "timeouts": "{}",
        "key": "",
        **more,
    }


@cache
def _staff() -> Client:
    client = Client()
    client.force_login(DeveloperFactory.create(is_staff=True, is_superuser=True))
    return client


def _staff_adds(paywall: Paywall, url: str) -> str:
    address = reverse("admin:providers_connection_add")
    return _page(_staff(), address, _form(paywall, url))


def _staff_changes(paywall: Paywall, url: str) -> str:
    address = reverse("admin:providers_connection_change", args=[planted(paywall, GOOD).pk])
    return _page(_staff(), address, _form(paywall, url, is_active="on"))


def _page(client: Client, address: str, form: dict[str, Any]) -> str:
    """ "saved", or what else came back."""
    answer = client.post(address, form)
    return "saved" if answer.status_code == 302 else f"page {answer.status_code}"


def _staff_tests(paywall: Paywall, url: str) -> str:
    row = planted(paywall, url)
    data = {"action": "test", "_selected_action": [str(row.pk)]}
    answer = _staff().post(reverse("admin:providers_connection_changelist"), data, follow=True)
    return " ".join(str(message) for message in answer.context["messages"]).partition(": ")[2]


def _probe(paywall: Paywall, url: str) -> str:
    return connections.test(planted(paywall, url)).message


def _sync(paywall: Paywall, url: str) -> str:
    row = planted(paywall, url)
    return run("sync_models", "--connection", row.name, "--paywall", paywall.public_id)


def _subscribed(paywall: Paywall) -> Subscription:
    draft = subscriptions.Draft(url="https://hooks.example.com", events=["*"])
    with transaction.atomic():
        return subscriptions.create(paywall, draft, actor=ACTOR)[0]


def _subscribe(paywall: Paywall, url: str) -> str:
    with transaction.atomic():
        draft = subscriptions.Draft(url=url, events=["*"])
        subscriptions.create(paywall, draft, actor=ACTOR)
    return "saved"


def _subscription_changes(paywall: Paywall, url: str) -> str:
    row = Subscription.objects.filter(paywall=paywall, kind="webhook").first()
    with transaction.atomic():
        subscriptions.update(row or _subscribed(paywall), {"url": url}, actor=ACTOR)
    return "saved"


def _words(paywall: Paywall, url: str) -> str:
    return run("set_message_endpoint", paywall.public_id, "--", url)


def _posthog(paywall: Paywall, url: str) -> str:
    return run("connect_posthog", paywall.public_id, "--", url, "phc_0123456789abcdef")


def _comes_back(paywall: Paywall, url: str) -> str:
    """Where people are sent after a payment: to origins that the developer registered."""
    settings = PaymentSettings(paywall=paywall, origins=["https://app.example"])
    orders.return_url(url, settings, param="successUrl")
    return "saved"


def _reach(paywall: Paywall, url: str) -> str:
    subscriptions.check_reach(url)
    return "it may be told"


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


async def _lookup(host: str, port: int) -> list[str]:
    """As the system's, by the names that a test gives."""
    getaddrinfo = egress.socket.getaddrinfo  # type: ignore[attr-defined]
    return [str(found[4][0]) for found in getaddrinfo(host, port)]


def _deliver(paywall: Paywall, url: str) -> str:
    """An attempt at an address that came into its row past every check."""

    async def post() -> str:
        async with Poster(lookup=_lookup, tls=_tls()) as poster:
            return (await poster.post(url, b"{}", {})).error

    return asyncio.run(post())


def _ask(paywall: Paywall, url: str) -> str:
    async def ask() -> str | None:
        words = Words(Poster(lookup=_lookup, tls=_tls()))
        try:
            return await words.ask(Ear(url, ("0123456789abcdef",)), {})
        finally:
            await words.close()

    return str(asyncio.run(ask()))


SAVES: Final[dict[str, Place]] = {
    "create": _create,
    "change": _change,
    "connect_provider": _command,
    "administration, add": _staff_adds,
    "administration, change": _staff_changes,
    "webhook, create": _subscribe,
    "webhook, change": _subscription_changes,
    "set_message_endpoint": _words,
    "connect_posthog": _posthog,
    "checkout, way back": _comes_back,
}
"""Where an address is entered."""

ASKED: Final[dict[str, Place]] = {
    "test": _probe,
    "administration, test": _staff_tests,
    "sync_models": _sync,
}
"""Where a provider's is used, and tells what came of it."""

USES: Final[dict[str, Place]] = ASKED | {"webhook, reach": _reach, "webhook, delivery": _deliver}
"""Where one that is stored is used. Chats are another: a server does these."""

SILENT: Final[dict[str, Place]] = {"message endpoint": _ask}
"""Where nobody is told why the template speaks."""

PLACES: Final = SAVES | USES | SILENT


def told(place: Place, paywall: Paywall, url: str) -> str:
    """What the one who entered the address hears."""
    try:
        return place(paywall, url)
    except PaywallsError as refusal:
        return refusal.message
    except CommandError as refusal:
        return str(refusal)
