"""`statement`: what happened on an end user's wallet."""

from typing import Any, override

from django.core.management.base import CommandParser

from billing.management.money import read_wallet
from config.kit import clock, ids
from config.kit.commands import ActionCommand, Answer, read_count
from config.kit.errors import InvalidRequestError
from config.kit.limits import PAGE_ROWS, PAGE_ROWS_MAX
from config.kit.money import format_nanos
from ledger import balances
from ledger.balances import StatementLine
from paywalls import users


class Command(ActionCommand):
    """Prints the newest movements of a wallet."""

    help = "Show what happened on an end user's wallet, the newest first, and the balance."
    positionals = ("paywall", "user")

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("paywall", help="pw_… id or name")
        parser.add_argument("user", help="your own id for the user, or usr_…")
        parser.add_argument("--test", action="store_true", help="a test wallet")
        parser.add_argument(
            "--rows", default=str(PAGE_ROWS), help=f"1 to {PAGE_ROWS_MAX} ({PAGE_ROWS})"
        )
        parser.add_argument("--before", help="continue below this entry number")

    @override
    def act(self, options: dict[str, Any], actor: str) -> Answer:
        paywall, external_id, livemode = read_wallet(options)
        user = users.find(paywall, external_id, livemode=livemode)
        rows = read_count(options["rows"], param="rows")
        if not 1 <= rows <= PAGE_ROWS_MAX:
            raise InvalidRequestError(f"It must be 1 to {PAGE_ROWS_MAX}.", param="rows")
        before = read_count(options["before"], param="before") if options["before"] else None
        assert user.wallet_id is not None, "a Default user has a wallet"
        lines = balances.statement(user.wallet_id, before=before, rows=rows)
        balance = format_nanos(balances.balance(user.wallet_id))
        title = f"{user.external_id} on {paywall.name}: {balance} {paywall.currency}"
        return Answer(
            text="\n".join([title, *(_row(line) for line in lines)]),
            facts={
                "user": ids.encode("usr", user.pk),
                "wallet": ids.encode("wal", user.wallet_id),
                "currency": paywall.currency,
                "balance": balance,
                "entries": [_facts(line) for line in lines],
            },
        )


def _row(line: StatementLine) -> str:
    return (
        f"{line.entry_id:>8}  {clock.wire(line.created_at)}  {line.kind:<11}"
        f" {format_nanos(line.amount_nanos):>16} {_balance_after(line) or '':>16}"
        f"  {ids.encode('txn', line.transaction_id)}"
    )


def _balance_after(line: StatementLine) -> str | None:
    after = line.balance_after_nanos
    return None if after is None else format_nanos(after)


def _facts(line: StatementLine) -> dict[str, object]:
    return {
        "entry": line.entry_id,
        "transaction": ids.encode("txn", line.transaction_id),
        "type": line.kind,
        "amount": format_nanos(line.amount_nanos),
        "balance_after": _balance_after(line),
        "created_at": clock.wire(line.created_at),
    }
