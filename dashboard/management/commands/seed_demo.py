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
from billing.stripe import connect, endpoint
from billing.stripe.models import StripeAccount
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

FUNDED_USER: Final = "bob"
FUNDS_NANOS: Final = 5 * NANOS
SECRETS_FILE: Final = "demo-secrets.json"
SECRETS_MODE: Final = 0o600
PASSWORD_BYTES: Final = 12


class Command(BaseCommand):
    """Makes what the demo shows, and prints where it is as one JSON object."""

    help = (
        "Make a developer, a paywall with prices, a trial and a key, and a user with money, for "
        "the demo. Password and key are kept in $PAYWALLS_STATE, so that every start shows the "
        "same ones."
    )

    def handle(self, *_args: str, **_options: Any) -> None:
        path = _secrets_file()
        kept: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        told = {
            "password": kept.get("password") or secrets.token_urlsafe(PASSWORD_BYTES),
            "key": kept.get("key", ""),
        }
        try:
            with transaction.atomic(durable=True):
                paywall = _seeded(told)
        except PaywallsError as error:
            raise CommandError(error.message) from error
        _write(path, json.dumps(told))
        _payments(paywall)
        self.stdout.write(json.dumps(_answer(paywall, told)))


def _seeded(told: dict[str, str]) -> Paywall:
    """The demo paywall with all that belongs to it; puts a working key into `told`."""
    paywall = _paywall(_team(told["password"]))
    _connection(paywall)
    _terms(paywall)
    _funds(paywall)
    told["key"] = _key(paywall, told["key"])
    return paywall


def _answer(paywall: Paywall, told: dict[str, str]) -> dict[str, Any]:
    return {
        "dashboard": {
            "url": f"{settings.BASE_URL}/admin/",
            "email": EMAIL,
            "password": told["password"],
        },
        "paywalls": [
            {
                "id": paywall.public_id,
                "name": paywall.name,
                "mode": paywall.mode,
                "key": told["key"],
            }
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


def _paywall(team: Team) -> Paywall:
    known = Paywall.objects.filter(team=team, name=NAME, archived_at=None).first()
    return known or paywalls.create(
        team, name=NAME, mode="default", settings=paywalls.Settings(), actor=ACTOR
    )


def _connection(paywall: Paywall) -> None:
    if not Model.objects.filter(kind=KIND, connection=None).exists():
        sync.sync_price_book()
    if not Connection.objects.filter(paywall=paywall, kind=KIND).exists():
        connections.create(paywall, connections.Draft(kind=KIND), actor=ACTOR)


def _terms(paywall: Paywall) -> None:
    if rules.price_list(paywall.pk) is None:
        rule = price_input.read_rule(price_input.RuleInput(markup=MARKUP))
        rules.set_price(paywall, rule, costs={}, actor=ACTOR)
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


def _secrets_file() -> Path:
    state = os.environ.get("PAYWALLS_STATE")
    if not state:
        raise CommandError("PAYWALLS_STATE must name the demo's folder: start it by ./run demo.")
    return Path(state) / SECRETS_FILE


def _write(path: Path, text: str) -> None:
    """Readable by nobody else, from its first byte."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, SECRETS_MODE), "w") as file:
        file.write(text)
