"""`set_payout_terms`: when earnings clear, and how they are withdrawn."""

from typing import Any, Final

from django.core.management.base import CommandParser

from billing.withdrawals import terms
from config.kit.commands import ActionCommand, Answer, read_amount, read_count

HELP: Final = {
    "clearing_days": "whole days until earnings clear; 0: at once",
    "reserve_bps": "part of what clears that stays, in hundredths of a percent",
    "reserve_days": "for how many days it stays",
    "minimum": "of a withdrawal",
    "fee": "of each withdrawal",
    "fee_bps": "of its amount, in hundredths of a percent",
    "approval_above": "more than this needs a second person",
    "destination_delay_hours": "nothing is paid to a new destination before",
}
AMOUNTS: Final = frozenset({"minimum", "fee", "approval_above"})


class Command(ActionCommand):
    """Shows the operator's terms, or puts others in force."""

    help = (
        "Show the terms of earnings and withdrawals, or change some of them. They are kept as "
        "versions; a change holds for what is cleared and requested from then on."
    )

    def add_options(self, parser: CommandParser) -> None:
        for name, said in HELP.items():
            parser.add_argument(f"--{name.replace('_', '-')}", default="", help=said)

    def act(self, options: dict[str, Any], actor: str) -> Answer:
        changes = {
            f"{name}_nanos" if name in AMOUNTS else name: _read(options[name], name)
            for name in HELP
            if options[name]
        }
        found = terms.change(actor=actor, **changes)
        facts = terms.facts_of(found)
        lines = [f"{name:<25}{value}" for name, value in facts.items()]
        return Answer(text="\n".join(lines), facts={"version": found.pk, **facts})


def _read(text: str, name: str) -> int:
    return read_amount(text, param=name) if name in AMOUNTS else read_count(text, param=name)
