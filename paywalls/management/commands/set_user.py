"""`set_user`: block, pool or erase an end user."""

from typing import Any

from django.core.management.base import CommandParser

from config.kit import clock, ids
from config.kit.commands import ActionCommand, Answer
from paywalls import lookup, users
from paywalls.models import EndUser


class Command(ActionCommand):
    """Changes an end user."""

    help = (
        "Block or unblock an end user, let them spend from another user's wallet (a team, or a "
        "guest who signed in), or erase who they were. Money is never touched."
    )
    positionals = ("paywall", "user")

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("paywall", help="pw_… id or name")
        parser.add_argument("user", help="your own id for the user, or usr_…")
        parser.add_argument("--test", action="store_true", help="a test user")
        action = parser.add_mutually_exclusive_group(required=True)
        action.add_argument("--block", action="store_true", help="refuse every call")
        action.add_argument("--unblock", action="store_true", help="accept calls again")
        action.add_argument("--share-wallet", help="spend from this other user's wallet")
        action.add_argument("--erase", action="store_true", help="forget the id, for ever")

    def act(self, options: dict[str, Any], actor: str) -> Answer:
        paywall = lookup.find_paywall(options["paywall"])
        livemode = not options["test"]
        user = users.find(paywall, options["user"], livemode=livemode)
        if options["share_wallet"]:
            other = users.find(paywall, options["share_wallet"], livemode=livemode)
            users.share_wallet(user, other, actor=actor)
        else:
            names = ("block", "unblock", "erase")
            name = next(name for name in names if options[name])
            getattr(users, name)(user, actor=actor)
        return Answer(text=_described(user), facts=_facts(user))


def _described(user: EndUser) -> str:
    state = "blocked" if user.blocked_at else "active"
    return f"{user.external_id} ({ids.encode('usr', user.pk)}) is {state}."


def _facts(user: EndUser) -> dict[str, object]:
    return {
        "id": ids.encode("usr", user.pk),
        "user": user.external_id,
        "wallet": ids.encode("wal", user.wallet_id) if user.wallet_id else None,
        "blocked_at": clock.wire(user.blocked_at) if user.blocked_at else None,
        "erased_at": clock.wire(user.erased_at) if user.erased_at else None,
    }
