"""Checks that every promise of the ledger holds."""

import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing.verification import Result, verify, verify_new


class Command(BaseCommand):
    """Prints each invariant with what it found; fails when one is broken."""

    help = (
        "Check the ledger's invariants (every transaction balances, no wallet below zero, every"
        " charge recomputes, …) in one snapshot, while money moves. Exits 1 when one is broken."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON object instead of text")
        parser.add_argument(
            "--since-last",
            action="store_true",
            help="only what is new since the last such run, as the worker does every minute",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        found = verify_new() if options["since_last"] else verify()
        if found is None:
            raise CommandError("A transaction has been writing for too long; try again.")
        results = []
        for result in found:
            results.append(result)
            if not options["json"]:
                self._print(result)
        broken = [result.number for result in results if result.broken]
        if options["json"]:
            report = {"ok": not broken, "results": [asdict(result) for result in results]}
            self.stdout.write(json.dumps(report, indent=2))
        if broken:
            raise CommandError(f"broken: {', '.join(broken)}")
        if not options["json"]:
            self.stdout.write(f"All {len(results)} invariants hold.")

    def _print(self, result: Result) -> None:
        verdict = f"BROKEN: {result.broken}" if result.broken else "ok"
        self.stdout.write(
            f"{result.number:<4} {verdict:<12} {result.seconds:6.2f} s  {result.promise}"
        )
        for example in result.examples:
            self.stdout.write(f"     {example}")
