"""`set_low_balance`: be told of users whose balance falls low."""

from typing import Any

from django.core.management.base import CommandParser

from billing.stripe import amounts, payment_settings
from config.kit.commands import ActionCommand, Answer, read_amount
from config.kit.money import format_nanos
from paywalls.lookup import find_paywall


class Command(ActionCommand):
    """Sets a paywall's threshold."""

    help = (
        "Tell when a user's balance falls below an amount: the event `paywall.balance.low`, once "
        "until it has risen again, and a mail to the owners, at most one a day."
    )
    positionals = ("paywall", "amount")

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("paywall", help="pw_… id or name")
        parser.add_argument("amount", help="such as 5; none: nobody is told")
        parser.add_argument("--no-mail", action="store_true", help="the event alone")

    def act(self, options: dict[str, Any], actor: str) -> Answer:
        paywall, text = find_paywall(options["paywall"]), options["amount"]
        nanos = None if text == "none" else read_amount(text, param="amount")
        mails = not options["no_mail"]
        payment_settings.tell_low_balances(paywall, nanos, mails=mails, actor=actor)
        facts = {
            "paywall": paywall.public_id,
            "amount": None if nanos is None else format_nanos(nanos),
            "mail": mails,
        }
        if nanos is None:
            return Answer(text=f"Nobody is told of low balances on {paywall.name}.", facts=facts)
        below = amounts.shown(nanos, paywall.currency)
        how = "is told, and mailed to owners" if mails else "is told"
        return Answer(text=f"Who falls below {below} on {paywall.name} {how}.", facts=facts)
