"""`refund`: give back a charge, or a part of it."""

from typing import Any

from django.core.management.base import CommandParser

from billing import movements
from billing.management.money import read_reason
from config.kit import ids
from config.kit.commands import ActionCommand, Answer, read_amount
from config.kit.errors import InvalidRequestError
from config.kit.money import format_nanos


class Command(ActionCommand):
    """Gives back a charge."""

    help = (
        "Give back a charge, or a part of it, to the wallet it came from. All refunds of a charge "
        "together never pass it. With --ref the same refund happens once."
    )
    positionals = ("charge", "amount")

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("charge", help="the charge's txn_… id, as in `statement`")
        parser.add_argument("amount", help="such as 0.50")
        parser.add_argument("--reason", required=True, help="kept in the books")
        parser.add_argument("--ref", help="your reference: the same one again books nothing new")

    def act(self, options: dict[str, Any], actor: str) -> Answer:
        charge_id = ids.decode("txn", options["charge"])
        if charge_id is None:
            raise InvalidRequestError("Not a transaction id such as txn_….", param="charge")
        amount = read_amount(options["amount"], param="amount")
        booked = movements.refund(charge_id, amount, read_reason(options, actor))
        balance = format_nanos(booked.balance_nanos)
        return Answer(
            text=f"Refunded {options['amount']}: the wallet has {balance}.",
            facts={
                "transaction": ids.encode("txn", booked.transaction_id),
                "charge": options["charge"],
                "amount": format_nanos(booked.amount_nanos),
                "balance": balance,
                "replayed": booked.replayed,
            },
        )
