"""`approve_withdrawal`: the second person."""

from typing import Any

from django.core.management.base import CommandParser

from billing.management.payouts import read_withdrawal, withdrawal_answer
from billing.withdrawals import requests
from config.kit.commands import ActionCommand, Answer


class Command(ActionCommand):
    """Approves a withdrawal that somebody else asked for."""

    help = "Let a withdrawal be paid that somebody else asked for and that is above the limit."
    positionals = ("withdrawal",)

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("withdrawal", help="wd_… id")

    def act(self, options: dict[str, Any], actor: str) -> Answer:
        row = read_withdrawal(options["withdrawal"])
        return withdrawal_answer(requests.approve(row, actor=actor))
