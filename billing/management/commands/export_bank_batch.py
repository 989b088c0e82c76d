"""`export_bank_batch`: withdrawals to bank accounts, for the operator's bank."""

from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from billing.withdrawals import batches
from config.kit.commands import ActionCommand, Answer
from config.kit.errors import InvalidRequestError


class Command(ActionCommand):
    """Exports what is due."""

    help = (
        "Put all withdrawals to bank accounts that are due into a new batch, mark them as sent, "
        "and print them as CSV with the bank accounts in the clear. --again prints a batch once "
        "more."
    )

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--test", action="store_true", help="test money")
        parser.add_argument("--again", default="", help="batch_… id: marks nothing")

    def act(self, options: dict[str, Any], actor: str) -> Answer:
        if options["again"]:
            batch = batches.find(options["again"])
        else:
            made = batches.make(
                livemode=not options["test"], currency=settings.PLATFORM_CURRENCY, actor=actor
            )
            if made is None:
                raise InvalidRequestError("No withdrawal to a bank account is due.")
            batch = made
        text = batches.export(batch).rstrip("\n")
        return Answer(
            text=text,
            facts={"batch": batch.public_id, "csv": text},
            warnings=(f"confirm it with: confirm_bank_batch {batch}",),
        )
