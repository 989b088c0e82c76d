"""`take_back_earnings`: after a dispute that was lost, or as a correction."""

from typing import Any

from django.core.management.base import CommandParser

from billing import earnings
from billing.management.money import read_reason
from billing.management.payouts import TeamCommand, read_team
from config.kit.commands import Answer, read_amount
from config.kit.money import format_nanos


class Command(TeamCommand):
    """Takes earnings back."""

    help = (
        "Take earnings back from a team, pending ones first; what is not there is owed, and blocks "
        "withdrawals until it is earned again. With --ref the same happens once."
    )
    positionals = ("team", "amount")

    def add_options(self, parser: CommandParser) -> None:
        super().add_options(parser)
        parser.add_argument("amount", help="such as 12.50")
        parser.add_argument("--reason", required=True, help="kept in the books")
        parser.add_argument("--ref", help="your reference: the same one again books nothing new")

    def act(self, options: dict[str, Any], actor: str) -> Answer:
        team, livemode = read_team(options)
        amount = read_amount(options["amount"], param="amount")
        after = earnings.take_back(team, amount, read_reason(options, actor), livemode=livemode)
        available, owed = format_nanos(after.available_nanos), format_nanos(after.owed_nanos)
        return Answer(
            text=f"Took back {options['amount']}: {available} can be withdrawn, {owed} is owed.",
            facts={"available": available, "owed": owed},
        )
