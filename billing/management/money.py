"""What the commands that move a user's money share."""

from collections.abc import Callable
from typing import Any, ClassVar

from django.core.management.base import CommandParser

from billing.movements import Reason
from billing.types import Movement
from config.kit import ids
from config.kit.commands import ActionCommand, Answer, read_amount, read_moment
from config.kit.errors import InvalidRequestError
from config.kit.money import format_nanos
from paywalls import lookup, users
from paywalls.models import Paywall


class MoneyCommand(ActionCommand):
    """A command on one user's wallet: `paywall`, `user`, `amount`, a reason and a reference."""

    positionals = ("paywall", "user", "amount")

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("paywall", help="pw_… id or name")
        parser.add_argument("user", help="your own id for the user")
        parser.add_argument("amount", help="in the paywall's currency, such as 12.50")
        parser.add_argument("--reason", required=True, help="kept in the books")
        parser.add_argument("--ref", help="your reference: the same one again books nothing new")
        parser.add_argument("--test", action="store_true", help="a test wallet")


class CreditCommand(MoneyCommand):
    """A movement into a wallet that may expire. done: what the answer begins with."""

    move: ClassVar[Callable[..., Movement]]
    done: ClassVar[str]

    def add_options(self, parser: CommandParser) -> None:
        super().add_options(parser)
        parser.add_argument("--expires", default="", help="90d, 36h or 2030-01-31T00:00:00Z")

    def act(self, options: dict[str, Any], actor: str) -> Answer:
        paywall, user, livemode = read_wallet(options)
        amount, expires = options["amount"], options["expires"]
        booked = type(self).move(
            paywall,
            user,
            read_amount(amount, param="amount"),
            read_reason(options, actor),
            livemode=livemode,
            expires_at=read_moment(expires, param="expires") if expires else None,
        )
        return movement_answer(paywall, user, booked, f"{self.done} {amount}")


def read_wallet(options: dict[str, Any]) -> tuple[Paywall, str, bool]:
    """The paywall in Default mode, the user's external id, and whether the wallet is a live one.

    Raises: InvalidRequestError.
    """
    paywall = lookup.find_paywall(options["paywall"])
    if paywall.mode == Paywall.Mode.SHARED:
        raise InvalidRequestError(
            "Shared wallets belong to people, not to paywalls.", param="paywall"
        )
    livemode = paywall.livemode and not options["test"]
    return paywall, users.read_external_id(options["user"]), livemode


def read_reason(options: dict[str, Any], actor: str) -> Reason:
    """Who moves money and why."""
    return Reason(actor=actor, reason=options["reason"], ref=options["ref"])


def movement_answer(paywall: Paywall, user: str, booked: Movement, done: str) -> Answer:
    """What was booked, now or by an earlier call with the same reference."""
    balance = format_nanos(booked.balance_nanos)
    again = " (already, by an earlier call)" if booked.replayed else ""
    return Answer(
        text=f"{done}{again}: {user} on {paywall.name} has {balance} {paywall.currency}.",
        facts={
            "transaction": ids.encode("txn", booked.transaction_id),
            "user": ids.encode("usr", booked.user_id),
            "amount": format_nanos(booked.amount_nanos),
            "balance": balance,
            "currency": paywall.currency,
            "replayed": booked.replayed,
        },
    )
