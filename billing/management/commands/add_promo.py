"""`add_promo`: a code that gives credit."""

from typing import Any

from django.core.management.base import CommandParser

from billing.stripe import amounts, promos
from config.kit.commands import ActionCommand, Answer, read_amount, read_count, read_moment
from config.kit.money import format_nanos
from paywalls.lookup import find_paywall


class Command(ActionCommand):
    """Makes a promotion code."""

    help = (
        "Make a code that gives credit, once a user and at most so many times. People type it on "
        "the page behind the link, or your app sends it."
    )
    positionals = ("paywall", "code", "credit", "uses")

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("paywall", help="pw_… id or name")
        parser.add_argument("code", help="6 to 40 letters, digits, dashes")
        parser.add_argument("credit", help="what each user gets, such as 5")
        parser.add_argument("uses", help="how many users may have it")
        parser.add_argument("--until", default="", help="90d, or a time: then the code is over")
        parser.add_argument("--days", default="", help="how long the credit lasts")

    def act(self, options: dict[str, Any], actor: str) -> Answer:
        paywall = find_paywall(options["paywall"])
        until, days = options["until"], options["days"]
        terms = promos.Terms(
            credit_nanos=read_amount(options["credit"], param="credit"),
            most_uses=read_count(options["uses"], param="uses"),
            until=read_moment(until, param="until") if until else None,
            days=read_count(days, param="days") if days else None,
        )
        promo = promos.add(paywall, options["code"], terms, actor=actor)
        credit = amounts.shown(promo.credit_nanos, paywall.currency)
        return Answer(
            text=f"{promo.code} gives {credit} on {paywall.name}, to {promo.most_uses} users.",
            facts={
                "paywall": paywall.public_id,
                "code": promo.code,
                "credit": format_nanos(promo.credit_nanos),
                "uses": promo.most_uses,
            },
        )
