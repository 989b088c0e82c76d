"""`ledger_checkpoint`: make the next link of the chain, or list it."""

from typing import Any

from django.core.management.base import CommandParser

from config.kit.commands import ActionCommand, Answer
from ledger.chain import make_checkpoint
from ledger.models import Checkpoint


class Command(ActionCommand):
    """Makes a checkpoint of what is new, or lists all."""

    help = (
        "Add what is new in the journal to the chain of checkpoints, which the worker does every "
        "night, and print the chain's head as number:hash. Keep heads where nobody who reaches the "
        "database can reach them."
    )

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--list", action="store_true", help="only print all that there are")

    def act(self, options: dict[str, Any], actor: str) -> Answer:  # noqa: ARG002
        if not options["list"]:
            make_checkpoint()
        heads = [str(each) for each in Checkpoint.objects.order_by("number")]
        shown = heads if options["list"] else heads[-1:]
        return Answer(text="\n".join(shown) or "There is nothing yet.", facts={"heads": shown})
