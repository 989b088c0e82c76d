"""`withdraw`: take cleared earnings out."""

from typing import Any

from django.core.management.base import CommandParser

from billing.management.payouts import TeamCommand, read_team, withdrawal_answer
from billing.withdrawals import requests
from config.kit.commands import Answer, read_amount

ALL = "all"


class Command(TeamCommand):
    """Asks for a withdrawal."""

    help = (
        "Withdraw a team's cleared earnings to its destination: an amount, or `all` there is. It "
        "is set aside at once; above a limit another person approves it."
    )
    positionals = ("team", "amount")

    def add_options(self, parser: CommandParser) -> None:
        super().add_options(parser)
        parser.add_argument("amount", help="such as 250, or `all`")
        parser.add_argument("--key", help="the same key again makes no second withdrawal")

    def act(self, options: dict[str, Any], actor: str) -> Answer:
        team, livemode = read_team(options)
        text = options["amount"]
        nanos = None if text == ALL else read_amount(text, param="amount")
        made = requests.request(
            team, nanos, livemode=livemode, actor=actor, key=options["key"] or None
        )
        return withdrawal_answer(made)
