"""What the commands about earnings and withdrawals share."""

from typing import Any, ClassVar

from django.core.management.base import CommandParser

from billing.withdrawals import requests
from billing.withdrawals.models import Withdrawal
from config.kit import clock, ids
from config.kit.commands import ActionCommand, Answer
from config.kit.errors import InvalidRequestError
from config.kit.money import format_nanos
from paywalls.lookup import find_team
from paywalls.models import Team


class TeamCommand(ActionCommand):
    """A command on one team's live or test earnings."""

    positionals: ClassVar[tuple[str, ...]] = ("team",)

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("team", help="team_… id, name, or e-mail address of its only member")
        parser.add_argument("--test", action="store_true", help="test money")


def read_team(options: dict[str, Any]) -> tuple[Team, bool]:
    """The team, and whether live money is meant.

    Raises: InvalidRequestError.
    """
    return find_team(options["team"]), not options["test"]


def read_withdrawal(text: str) -> Withdrawal:
    """Raises: InvalidRequestError, UnknownWithdrawalError."""
    withdrawal_id = ids.decode("wd", text)
    if withdrawal_id is None:
        raise InvalidRequestError("Not a withdrawal's id such as wd_….", param="withdrawal")
    return requests.find(withdrawal_id)


def withdrawal_answer(row: Withdrawal) -> Answer:
    """What became of it, and what it waits for."""
    waits = ""
    if row.state == Withdrawal.State.REQUESTED:
        waits = " Another person approves it: approve_withdrawal."
    elif row.state == Withdrawal.State.APPROVED and row.pay_after > clock.now():
        waits = f" The destination is new: it is paid after {row.pay_after:%Y-%m-%d %H:%M} UTC."
    return Answer(
        text=f"{row}: {format_nanos(row.net)} {row.currency} to {row.destination},"
        f" fee {format_nanos(row.fee)}, {row.state}.{waits}",
        facts={
            "withdrawal": row.public_id,
            "state": row.state,
            "amount": format_nanos(row.amount),
            "fee": format_nanos(row.fee),
            "net": format_nanos(row.net),
            "currency": row.currency,
            "destination": row.destination.public_id,
            "pay_after": clock.wire(row.pay_after),
        },
    )
