"""`fill_ledger`: invented history, in bulk."""

import json
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing import fill
from config.kit.commands import read_count
from config.kit.errors import InvalidRequestError, PaywallsError
from paywalls import lookup
from paywalls.models import Paywall


class Command(BaseCommand):
    """Writes invented users, deposits, charges and requests, and says how far it is."""

    help = (
        "Fill the books with invented history: users, deposits, charges, requests and their sums,"
        " valid in every respect, to measure with and to look at. It can never be taken out again,"
        " so it refuses where people use the product."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--rows", required=True, help=f"ledger entries to write, up to {fill.ROWS_MAX:,}"
        )
        parser.add_argument(
            "--paywall", help=f"pw_… id or name (one called {fill.NAME}, made when it is missing)"
        )
        parser.add_argument(
            "--days", default="180", help=f"how far back, up to {fill.DAYS_MAX} (180)"
        )
        parser.add_argument(
            "--among-real-users",
            action="store_true",
            help="also in a database that has users who were not invented",
        )
        parser.add_argument("--json", action="store_true", help="answer with one JSON object")

    def handle(self, *_args: str, **options: Any) -> None:
        began = time.monotonic()
        try:
            filled = self._fill(options)
        except PaywallsError as error:
            raise CommandError(" ".join(error.message.split())) from error
        seconds = time.monotonic() - began
        facts = {"entries": filled.entries, "users": filled.users, "seconds": round(seconds, 1)}
        self.stdout.write(
            json.dumps(facts)
            if options["json"]
            else f"Wrote {filled.entries:,} ledger entries of {filled.users:,} users"
            f" in {seconds:.0f} s."
        )

    def _fill(self, options: dict[str, Any]) -> fill.Filled:
        rows = _read("rows", options["rows"], fill.ROWS_MAX)
        days = _read("days", options["days"], fill.DAYS_MAX)
        fill.check_place(among_real_users=options["among_real_users"])
        named = options["paywall"]
        paywall = lookup.find_paywall(named) if named else fill.invented_paywall()
        if paywall.mode == Paywall.Mode.SHARED:
            raise InvalidRequestError("Shared wallets belong to people, not to paywalls.")
        return fill.fill(paywall, rows, days=days, progress=self._say)

    def _say(self, entries: int) -> None:
        self.stderr.write(f"{entries:,} entries")


def _read(name: str, text: str, most: int) -> int:
    number = read_count(text, param=name)
    if not 1 <= number <= most:
        raise InvalidRequestError(f"--{name}: It must be 1 to {most:,}.", param=name)
    return number
