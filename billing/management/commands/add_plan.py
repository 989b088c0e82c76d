"""`add_plan`: credit for each paid cycle."""

from typing import Any

from django.core.management.base import CommandParser

from billing.stripe import amounts, products
from billing.stripe.catalog import Plan
from config.kit.commands import ActionCommand, Answer, read_amount, read_count
from config.kit.money import format_nanos
from paywalls.lookup import find_paywall


class Command(ActionCommand):
    """Puts a plan on the page behind the link."""

    help = (
        "Sell a plan: its price and its credit for each cycle. What is left ends with the cycle, "
        "or stays (--rollover)."
    )
    positionals = ("paywall", "name", "price", "credit")

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("paywall", help="pw_… id or name")
        parser.add_argument("name", help="what people read")
        parser.add_argument("price", help="of a cycle, such as 20")
        parser.add_argument("credit", help="that each paid cycle brings")
        parser.add_argument(
            "--every", default="month", choices=Plan.Interval.values, help="a cycle"
        )
        parser.add_argument("--count", default="1", help="so many of these are one cycle")
        parser.add_argument(
            "--drip", action="store_true", help="of a year: the credit comes every month"
        )
        parser.add_argument("--rollover", action="store_true", help="left-overs stay")
        parser.add_argument(
            "--entitlement", action="append", default=[], help="a feature's name; repeatable"
        )

    def act(self, options: dict[str, Any], actor: str) -> Answer:
        paywall = find_paywall(options["paywall"])
        terms = products.Terms(
            price_nanos=read_amount(options["price"], param="price"),
            credit_nanos=read_amount(options["credit"], param="credit"),
            interval=options["every"],
            interval_count=read_count(options["count"], param="count"),
            resets=not options["rollover"],
            drips=options["drip"],
            entitlements=options["entitlement"],
        )
        plan = products.add_plan(paywall, options["name"], terms, actor=actor)
        price = amounts.shown(
            amounts.to_nanos(plan.price_minor, paywall.currency), paywall.currency
        )
        credit = amounts.shown(plan.credit_nanos, paywall.currency)
        return Answer(
            text=f"{paywall.name} sells {plan.name} ({products.public_id(plan)}):"
            f" {credit}{f' {plan.credit_rhythm}' * plan.drips} for {price} {plan.rhythm}.",
            facts={
                "plan": products.public_id(plan),
                "credit": format_nanos(plan.credit_nanos),
                "every": plan.interval,
                "count": plan.interval_count,
                "drip": plan.drips,
            },
        )
