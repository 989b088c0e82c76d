"""`set_destination`: where a team's earnings go."""

import os
from typing import Any, Final

from django.core.management.base import CommandParser
from django.db import transaction

from billing.management.payouts import TeamCommand, read_team
from billing.withdrawals import bank, destinations
from billing.withdrawals.models import Destination
from config.kit import clock
from config.kit.commands import Answer
from config.kit.errors import InvalidRequestError
from paywalls.models import Team

VARIABLE: Final = "IBAN"


class Command(TeamCommand):
    """Says where earnings go, and when."""

    help = (
        "Say where a team's earnings go: to a bank account (--holder, and its number in the "
        f"environment as {VARIABLE}) or to a Stripe account that is made for it (--stripe, which "
        "answers a link for its owner). A new destination waits before anything is paid to it. "
        "Without either, shows the one in use, checked anew."
    )
    is_atomic = False

    def add_options(self, parser: CommandParser) -> None:
        super().add_options(parser)
        parser.add_argument("--holder", default="", help="name on the bank account")
        parser.add_argument("--bic", default="", help="of the bank, where it wants one")
        parser.add_argument("--stripe", default="", help="country of the team, such as US")
        parser.add_argument("--link", action="store_true", help="a new link to Stripe's questions")
        parser.add_argument("--schedule", default="", help="manual, weekly or monthly")

    def act(self, options: dict[str, Any], actor: str) -> Answer:
        team, livemode = read_team(options)
        if options["holder"] and options["stripe"]:
            raise InvalidRequestError("Either a bank account or Stripe.", param="stripe")
        link = ""
        if options["holder"]:
            account = bank.read_account(
                options["holder"], os.environ.get(VARIABLE, ""), options["bic"]
            )
            with transaction.atomic():
                row = destinations.set_bank(team, account, livemode=livemode, actor=actor)
        elif options["stripe"]:
            row, link = destinations.set_stripe(
                team, livemode=livemode, actor=actor, country=options["stripe"]
            )
        else:
            row = destinations.check(_active(team, livemode=livemode))
            link = destinations.onboarding_link(row) if options["link"] else ""
        if options["schedule"]:
            with transaction.atomic():
                destinations.set_schedule(row, options["schedule"], actor=actor)
        return _answer(row, link)


def _active(team: Team, *, livemode: bool) -> Destination:
    found = destinations.active(team, livemode=livemode)
    if found is None:
        raise InvalidRequestError("It has none yet: give --holder or --stripe.", param="team")
    return found


def _answer(row: Destination, link: str) -> Answer:
    after = destinations.usable_at(row)
    state = row.trouble or (
        f"paid to after {after:%Y-%m-%d %H:%M} UTC" if after > clock.now() else "ready"
    )
    lines = [f"{row}, {row.schedule}: {state}", *([link] if link else [])]
    return Answer(
        text="\n".join(lines),
        facts={
            "destination": row.public_id,
            "kind": row.kind,
            "label": row.label,
            "schedule": row.schedule,
            "trouble": row.trouble,
            "usable_at": clock.wire(after),
            "link": link or None,
        },
    )
