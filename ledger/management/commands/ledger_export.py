"""`ledger_export`: the chain and the rows below it, to be checked outside."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection, transaction

from ledger import chain


class Command(BaseCommand):
    """Writes files that `ledger/outside_verify.py` checks without the product."""

    help = (
        "Write the chain of checkpoints and the transactions they cover into a folder, as they "
        "are now. `ledger/outside_verify.py`, one file of plain Python, checks it anywhere, and "
        "that it continues an earlier export or a noted head."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--out", required=True, type=Path, help="a folder, new or empty")
        parser.add_argument(
            "--since", type=int, default=0, help="leave out the rows up to this checkpoint"
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        folder: Path = options["out"]
        try:
            if folder.exists() and any(folder.iterdir()):
                raise CommandError(f"{folder} is not empty: name another folder.")
            with transaction.atomic(durable=True), connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                heads = chain.export(cursor, folder, since=options["since"])
        except OSError as error:
            raise CommandError(f"{folder} cannot be written: {error.strerror}.") from error
        head = f"{len(heads)}:{heads[-1][1].hex()}" if heads else "none yet; see ledger_checkpoint"
        self.stdout.write(f"{len(heads)} checkpoints are in {folder}. Head: {head}")
