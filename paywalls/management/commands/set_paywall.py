"""`set_paywall`: settings of a paywall, pause and archive."""

from typing import Any

from django.core.management.base import CommandParser

from config.kit.commands import ActionCommand, Answer
from config.kit.errors import InvalidRequestError
from paywalls import lookup, paywalls
from paywalls.models import Paywall


class Command(ActionCommand):
    """Changes a paywall."""

    help = "Change a paywall's settings, pause or resume it, or archive it for good."
    positionals = ("paywall",)

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("paywall", help="pw_… id or name")
        parser.add_argument("--name", help="a new name")
        parser.add_argument("--description", help="for your own notes")
        parser.add_argument(
            "--timezone", help="of days and months in limits, such as Europe/Berlin"
        )
        parser.add_argument(
            "--allowed-models", help="ids or prefixes ending in *, with commas; empty allows all"
        )
        parser.add_argument("--money", help="live or test: which wallets its keys move")
        parser.add_argument("--graceful", help="yes: provider trouble is an assistant message")
        parser.add_argument("--store-answers", help="yes: keep chat answers 24 h for safe retries")
        state = parser.add_mutually_exclusive_group()
        state.add_argument("--pause", action="store_true", help="refuse every call")
        state.add_argument("--resume", action="store_true", help="accept calls again")
        state.add_argument("--archive", action="store_true", help="end it for good; books stay")

    def act(self, options: dict[str, Any], actor: str) -> Answer:
        paywall = lookup.find_paywall(options["paywall"])
        models = options["allowed_models"]
        settings = paywalls.Settings(
            name=options["name"],
            description=options["description"],
            timezone=options["timezone"],
            allowed_models=models.split(",") if models is not None else None,
            livemode=_either(options, "money", yes="live", no="test"),
            graceful=_either(options, "graceful", yes="yes", no="no"),
            store_answers=_either(options, "store_answers", yes="yes", no="no"),
        )
        before = paywall.version
        paywall = paywalls.change(paywall, settings, actor=actor)
        paywall = _set_state(paywall, options, actor)
        changed = "Changed" if paywall.version > before else "Nothing to change on"
        return Answer(
            text=f"{changed} {paywall.name} ({paywall.public_id}), now version {paywall.version}"
            f"{_state(paywall)}.",
            facts=paywalls.facts(paywall) | {"state": _state(paywall).strip(", ") or "active"},
        )


def _set_state(paywall: Paywall, options: dict[str, Any], actor: str) -> Paywall:
    if options["pause"]:
        return paywalls.pause(paywall, actor=actor)
    if options["resume"]:
        return paywalls.resume(paywall, actor=actor)
    if options["archive"]:
        return paywalls.archive(paywall, actor=actor)
    return paywall


def _state(paywall: Paywall) -> str:
    if paywall.archived_at:
        return ", archived"
    return ", paused" if paywall.paused_at else ""


def _either(options: dict[str, Any], name: str, *, yes: str, no: str) -> bool | None:
    text = options[name]
    if text not in (None, yes, no):
        raise InvalidRequestError(f"Say {yes} or {no}.", param=name)
    return None if text is None else text == yes
