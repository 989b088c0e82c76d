"""`cancel_withdrawal`: the money goes back to the earnings."""

from typing import Any

from django.core.management.base import CommandParser

from billing.management.payouts import read_withdrawal, withdrawal_answer
from billing.withdrawals import requests
from config.kit.commands import ActionCommand, Answer


class Command(ActionCommand):
    """Cancels a withdrawal."""

    help = (
        "Cancel a withdrawal; its money goes back to the earnings. One that is on its way is "
        "stopped at Stripe if that still works."
    )
    positionals = ("withdrawal",)
    is_atomic = False

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("withdrawal", help="wd_… id")
        parser.add_argument("--reason", default="", help="kept with it")

    def act(self, options: dict[str, Any], actor: str) -> Answer:
        row = read_withdrawal(options["withdrawal"])
        return withdrawal_answer(requests.cancel(row, actor=actor, reason=options["reason"]))
