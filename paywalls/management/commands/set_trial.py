"""`set_trial`: what new users get for free."""

from typing import Any

from django.core.management.base import CommandParser

from config.kit.commands import ActionCommand, Answer, read_amount, read_count
from config.kit.errors import InvalidRequestError
from config.kit.money import format_nanos
from paywalls import lookup, rules


class Command(ActionCommand):
    """Sets or ends the trial."""

    help = (
        "Give every user who is seen for the first time an amount or a number of requests, once. "
        "Without any of them the trial ends; users who have one keep it."
    )
    positionals = ("paywall",)

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("paywall", help="pw_… id or name")
        parser.add_argument("--amount", default="", help="in the paywall's currency, such as 0.50")
        parser.add_argument("--requests", default="", help="a number of free requests")
        parser.add_argument("--days", default="", help="how long it lasts (for ever)")
        parser.add_argument("--end", action="store_true", help="no trial for new users")

    def act(self, options: dict[str, Any], actor: str) -> Answer:
        paywall = lookup.find_paywall(options["paywall"])
        if options["end"] == bool(options["amount"] or options["requests"]):
            raise InvalidRequestError("Give --amount, --requests or --end.", param="amount")
        nanos = read_amount(options["amount"] or "0", param="amount")
        requests = read_count(options["requests"] or "0", param="requests")
        days = read_count(options["days"] or "0", param="days")
        version = rules.set_trial(
            paywall, amount_nanos=nanos, requests=requests, days=days, actor=actor
        )
        gift = f"{format_nanos(nanos)} {paywall.currency}" if nanos else f"{requests} requests"
        lasting = f" for {days} days" if days else ""
        text = f"gets {gift}{lasting}" if nanos or requests else "gets nothing"
        return Answer(
            text=f"A new user of {paywall.name} {text} (price version {version.number}).",
            facts={
                "paywall": paywall.public_id,
                "version": version.number,
                "amount": format_nanos(nanos),
                "requests": requests,
                "days": days,
            },
        )
