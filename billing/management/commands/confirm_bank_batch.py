"""`confirm_bank_batch`: what the bank did with a batch."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from billing.withdrawals import batches
from config.kit.commands import ActionCommand, Answer
from config.kit.errors import InvalidRequestError


class Command(ActionCommand):
    """Confirms payments of a batch, or that they failed."""

    help = (
        "Say what became of a batch: --all-paid, or a CSV file with the columns id, state (paid or "
        "failed) and reason. All lines hold or none; the same again changes nothing."
    )
    positionals = ("batch",)

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("batch", help="batch_… id")
        parser.add_argument("--file", default="", help="a CSV file")
        parser.add_argument("--all-paid", action="store_true", help="all that has not ended")

    def act(self, options: dict[str, Any], actor: str) -> Answer:
        batch = batches.find(options["batch"])
        if bool(options["file"]) == options["all_paid"]:
            raise InvalidRequestError("Give either --file or --all-paid.", param="file")
        lines = batches.everything(batch)
        if options["file"]:
            lines = batches.read_lines(_text(options["file"]))
        counts = batches.confirm(batch, lines, actor=actor)
        return Answer(
            text=f"{batch}: {counts['paid']} paid, {counts['failed']} failed.",
            facts={"batch": batch.public_id, **counts},
        )


def _text(name: str) -> str:
    try:
        return Path(name).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequestError(f"{name} cannot be read: {error}", param="file") from error
