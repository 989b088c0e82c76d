"""`seed_demo`: sample data for `./run demo`. Repeating it changes nothing."""

import json
import os
import secrets
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from billing import movements
from billing.stripe import connect, endpoint, platform
from billing.stripe.models import StripeAccount
from billing.withdrawals import terms
from config.kit.errors import PaywallsError
from config.kit.money import NANOS
from paywalls import config, keys, paywalls, price_input, rules, teams
from paywalls.models import Paywall, Team, User
from providers import connections, sync
from providers.models import Connection, Model

ACTOR: Final = "command:seed_demo"
EMAIL: Final = "demo@example.com"
NAME: Final = "Demo"
KIND: Final = Connection.Kind.DEMO.value
MODEL: Final = f"{KIND}/echo-1"
MARKUP: Final = "20"
TRIAL_NANOS: Final = NANOS // 1_000
"""Enough for some answers, not for many: a new user soon meets the paywall."""

APPS: Final = (
    ("Poems", "Rhymes about anything you like. One of two sample apps that share a wallet."),
    ("Recipes", "What to cook with what is there. One of two sample apps that share a wallet."),
)
"""Shared paywalls, without a connection of their own: names and what people read about them."""

AT_ONCE: Final = {"clearing_days": 0, "destination_delay_hours": 0, "minimum_nanos": NANOS}
FUNDED_USER: Final = "bob"
FUNDS_NANOS: Final = 5 * NANOS
SECRETS_FILE: Final = "demo-secrets.json"
SECRETS_MODE: Final = 0o600
PASSWORD_BYTES: Final = 12


class Command(BaseCommand):
    """Makes what the demo shows, and prints where it is as one JSON object."""

    help = (
        "Make a developer, a paywall with prices, a trial and a key, a user with money, and two "
        "Shared paywalls, for the demo. Password and keys are kept in $PAYWALLS_STATE, so that "
        "every start shows the same ones."
    )

    def handle(self, *_args: str, **_options: Any) -> None:
        path = _secrets_file()
        kept: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        told = {
            "password": kept.get("password") or secrets.token_urlsafe(PASSWORD_BYTES),
            "key": kept.get("key", ""),
            **{name: kept.get(name, "") for name, _ in APPS},
        }
        try:
            with transaction.atomic(durable=True):
                paywall, apps = _seeded(told)
        except PaywallsError as error:
            raise CommandError(error.message) from error
        _write(path, json.dumps(told))
        _payments(paywall)
        _platform()
        self.stdout.write(json.dumps(_answer(paywall, apps, told)))


def _seeded(told: dict[str, str]) -> tuple[Paywall, list[Paywall]]:
    """The demo paywall with all that belongs to it, and the Shared ones; puts working keys into
    `told`.
    """
    team = _team(told["password"])
    paywall = _paywall(team, NAME, "default")
    _connection(paywall)
    _price(paywall)
    _trial(paywall)
    _funds(paywall)
    told["key"] = _key(paywall, told["key"])
    apps = [_paywall(team, name, "shared", about) for name, about in APPS]
    for app in apps:
        _price(app)
        told[app.name] = _key(app, told[app.name])
    return paywall, apps


def _answer(paywall: Paywall, apps: list[Paywall], told: dict[str, str]) -> dict[str, Any]:
    shown = [(paywall, told["key"]), *((app, told[app.name]) for app in apps)]
    return {
        "dashboard": {
            "url": f"{settings.BASE_URL}/admin/",
            "email": EMAIL,
            "password": told["password"],
        },
        "paywalls": [
            {"id": each.public_id, "name": each.name, "mode": each.mode, "key": key}
            for each, key in shown
        ],
        "model": MODEL,
        "user": FUNDED_USER,
    }


def _team(password: str) -> Team:
    """The demo developer's team; the developer can log in with this password."""
    user = User.objects.filter(email=EMAIL).first()
    if user is None:
        return teams.create_developer(
            EMAIL, password, name=NAME, team_name=NAME, is_staff=True, actor=ACTOR
        )[1]
    if not user.check_password(password):
        user.set_password(password)
        user.save(update_fields=["password"])
    return Team.objects.filter(members=user).earliest("created_at")


def _paywall(team: Team, name: str, mode: str, about: str = "") -> Paywall:
    known = Paywall.objects.filter(team=team, name=name, mode=mode, archived_at=None).first()
    wanted = paywalls.Settings(description=about)
    return known or paywalls.create(team, name=name, mode=mode, settings=wanted, actor=ACTOR)


def _connection(paywall: Paywall) -> None:
    if not Model.objects.filter(kind=KIND, connection=None).exists():
        sync.sync_price_book()
    if not Connection.objects.filter(paywall=paywall, kind=KIND).exists():
        connections.create(paywall, connections.Draft(kind=KIND), actor=ACTOR)


def _price(paywall: Paywall) -> None:
    if rules.price_list(paywall.pk) is None:
        rule = price_input.read_rule(price_input.RuleInput(markup=MARKUP))
        rules.set_price(paywall, rule, costs={}, actor=ACTOR)


def _trial(paywall: Paywall) -> None:
    known = rules.price_list(paywall.pk)
    if known is not None and known.trial_nanos == 0:
        rules.set_trial(paywall, amount_nanos=TRIAL_NANOS, actor=ACTOR)


def _funds(paywall: Paywall) -> None:
    why = movements.Reason(actor=ACTOR, reason="sample data", ref=ACTOR)
    movements.deposit(paywall, FUNDED_USER, FUNDS_NANOS, why)


def _key(paywall: Paywall, kept: str) -> str:
    """The key of an earlier start if it still works, else a new one."""
    found = config.load(keys.digest(kept)) if kept else None
    if found and found[0].id == paywall.pk:
        return kept
    return keys.mint(paywall, keys.KeyOptions(name="demo"), actor=ACTOR)[1]


def _payments(paywall: Paywall) -> None:
    """Stripe's stand-in, as a developer would connect Stripe: it talks to it, so nothing is open.

    Raises: CommandError.
    """
    key = os.environ.get("DEMO_STRIPE_KEY")
    if not key:
        return
    known = StripeAccount.objects.filter(paywall=paywall, is_active=True).first()
    try:
        if known is not None:
            endpoint.ensure(known)
        else:
            connect.connect(paywall, key, actor=ACTOR)
    except PaywallsError as error:
        raise CommandError(error.message) from error


def _platform() -> None:
    """The same for the operator: people can fill their wallets, and earnings clear and are paid at
    once.

    Raises: CommandError.
    """
    key = os.environ.get("DEMO_PLATFORM_STRIPE_KEY")
    if not key:
        return
    try:
        platform.connect(key, actor=ACTOR)
        with transaction.atomic(durable=True):
            if terms.in_force().actor != ACTOR:
                terms.change(actor=ACTOR, **AT_ONCE)
    except PaywallsError as error:
        raise CommandError(error.message) from error


def _secrets_file() -> Path:
    state = os.environ.get("PAYWALLS_STATE")
    if not state:
        raise CommandError("PAYWALLS_STATE must name the demo's folder: start it by ./run demo.")
    return Path(state) / SECRETS_FILE


def _write(path: Path, text: str) -> None:
    """Readable by nobody else, from its first byte."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, SECRETS_MODE), "w") as file:
        file.write(text)
