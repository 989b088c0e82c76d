"""`connect_stripe`: save a Stripe key; everything else follows."""

import getpass
import os
import sys
from typing import Any, Final

from django.core.management.base import CommandParser

from billing.management.stripe import account_answer
from billing.stripe import connect
from config.kit.commands import ActionCommand, Answer
from config.kit.errors import InvalidRequestError
from paywalls.lookup import find_paywall

VARIABLE: Final = "STRIPE_KEY"


class Command(ActionCommand):
    """Saves a key, or another one in its place."""

    help = (
        "Save a paywall's restricted Stripe key, say what it lacks, and make its webhook. The key "
        f"is read from the environment ({VARIABLE}) or asked for, so that no list of processes "
        "shows it. Another key of the same Stripe account takes the place of the last one."
    )
    positionals = ("paywall",)
    is_atomic = False

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("paywall", help="pw_… id or name")

    def act(self, options: dict[str, Any], actor: str) -> Answer:
        paywall = find_paywall(options["paywall"])
        return account_answer(connect.connect(paywall, read_key(), actor=actor), "is connected")


def read_key() -> str:
    """From the environment, or typed.

    Raises: InvalidRequestError where there is nobody to ask.
    """
    key = os.environ.get(VARIABLE, "")
    if not key and not sys.stdin.isatty():
        raise InvalidRequestError(f"{VARIABLE} must hold the key: there is no terminal to ask at.")
    return key or getpass.getpass("Stripe key (rk_…): ")
