"""`set_platform_fee`: what the platform takes of Shared charges."""

import datetime as dt
import re
from typing import Any, Final

from django.core.management.base import CommandParser

from billing import fees
from config.kit import clock
from config.kit.commands import ActionCommand, Answer
from config.kit.errors import InvalidRequestError

PPM_PER_PERCENT: Final = 10_000
PERCENT: Final = re.compile(r"(\d{1,3})(?:\.(\d{1,4}))?", re.ASCII)


class Command(ActionCommand):
    """Sets the fee, from now on or from a later moment."""

    help = (
        "Take a share of what people spend in Shared mode, in percent of the charge. It holds for "
        "what begins from then on; what was charged keeps its fee, and receipts show it."
    )
    positionals = ("percent",)

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("percent", help="such as 5 or 2.5; 0 takes nothing")
        parser.add_argument(
            "--from", default="", help="a moment such as 2027-01-01T00:00:00Z (now)"
        )

    def act(self, options: dict[str, Any], actor: str) -> Answer:
        ppm = _ppm(options["percent"])
        fee = fees.set_fee(ppm, valid_from=_moment(options["from"]), actor=actor)
        since = clock.wire(fee.valid_from)
        return Answer(
            text=f"The platform takes {fee} of Shared charges from {since} on (fee {fee.number}).",
            facts={"number": fee.number, "ppm": fee.ppm, "valid_from": since},
        )


def _ppm(text: str) -> int:
    found = PERCENT.fullmatch(text.removesuffix("%").strip())
    if found is None:
        raise InvalidRequestError(
            f"{text!r} is not a percentage: a number such as 2.5, with at most four decimals.",
            param="percent",
        )
    return int(found[1]) * PPM_PER_PERCENT + int((found[2] or "").ljust(4, "0"))


def _moment(text: str) -> dt.datetime | None:
    if not text:
        return None
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise InvalidRequestError(
            f"{text!r} is not a moment with a time zone, such as 2027-01-01T00:00:00Z.",
            param="from",
        )
    return moment
