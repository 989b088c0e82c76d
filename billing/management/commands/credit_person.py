"""`credit_person`: money into a person's own wallet, by the operator's hand."""

from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from billing import movements
from billing.movements import Reason
from config.kit import ids
from config.kit.commands import ActionCommand, Answer, read_amount
from config.kit.errors import InvalidRequestError
from config.kit.money import format_nanos
from paywalls.models import Person


class Command(ActionCommand):
    """Credits a wallet of Shared mode."""

    help = (
        "Credit a person's own wallet (Shared mode): what was paid to the operator by another way, "
        "or with --bonus a gift of the operator's."
    )
    positionals = ("person", "amount")

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("person", help="per_… id or e-mail address")
        parser.add_argument("amount", help="in the platform's currency, such as 5")
        parser.add_argument("--reason", required=True, help="kept with the movement")
        parser.add_argument("--ref", default=None, help="the same again books nothing")
        parser.add_argument("--bonus", action="store_true", help="a gift, not a payment")
        parser.add_argument("--test", action="store_true", help="a test wallet")

    def act(self, options: dict[str, Any], actor: str) -> Answer:
        person = _find(options["person"])
        booked = movements.credit_person(
            person.pk,
            read_amount(options["amount"], param="amount"),
            Reason(actor=actor, reason=options["reason"], ref=options["ref"]),
            kind="bonus" if options["bonus"] else "adjustment",
            livemode=not options["test"],
            currency=settings.PLATFORM_CURRENCY,
        )
        balance = format_nanos(booked.balance_nanos)
        return Answer(
            text=f"{person.public_id} can spend {balance} {settings.PLATFORM_CURRENCY} now.",
            facts={
                "person": person.public_id,
                "transaction": ids.encode("txn", booked.transaction_id),
                "amount": format_nanos(booked.amount_nanos),
                "spendable": balance,
                "replayed": booked.replayed,
            },
        )


def _find(text: str) -> Person:
    value = ids.decode("per", text)
    found = Person.objects.filter(closed_at=None)
    found = found.filter(pk=value) if value else found.filter(email=text.strip().lower())
    person = found.first()
    if person is None:
        raise InvalidRequestError(f"There is no person {text!r} with a wallet.", param="person")
    return person
