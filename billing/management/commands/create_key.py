"""`create_key`: what an app calls a paywall with. Here because it can make the key's end user."""

from typing import Any

from django.core.management.base import CommandParser

from billing import users
from config.kit.commands import ActionCommand, Answer, read_moment
from paywalls import keys, lookup, paywalls


class Command(ActionCommand):
    """Makes a key and shows it once."""

    help = (
        "Make a key of a paywall. It is shown once and kept only as a hash. Without options it may "
        f"do everything. Scopes: {', '.join(keys.SCOPES)}."
    )
    positionals = ("paywall",)

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("paywall", help="pw_… id or name")
        parser.add_argument("--name", default="app", help="what the key is for (app)")
        parser.add_argument("--test", action="store_true", help="moves test wallets only")
        parser.add_argument("--scopes", default="", help="with commas; none allows all")
        parser.add_argument(
            "--allowed-models", default="", help="ids or prefixes ending in *, with commas"
        )
        parser.add_argument(
            "--user",
            default="",
            help="bind it to one end user (your own id for them): it needs no user, acts for no "
            "other, and cannot deposit",
        )
        parser.add_argument("--expires", default="", help="90d, 36h or 2030-01-31T00:00:00Z")
        parser.add_argument(
            "--error-mode", action="store_true", help="HTTP 402 instead of assistant messages"
        )
        parser.add_argument(
            "--require-idempotency", action="store_true", help="refuse money calls without a key"
        )

    def act(self, options: dict[str, Any], actor: str) -> Answer:
        paywall = lookup.find_paywall(options["paywall"])
        livemode, user, expires = not options["test"], options["user"], options["expires"]
        chosen = keys.KeyOptions(
            name=options["name"],
            livemode=livemode,
            scopes=[scope.strip() for scope in options["scopes"].split(",") if scope.strip()],
            allowed_models=paywalls.read_models(options["allowed_models"].split(",")),
            end_user=users.make(paywall, user, livemode=livemode) if user else None,
            expires_at=read_moment(expires, param="expires") if expires else None,
            error_mode=options["error_mode"],
            idempotency_required=options["require_idempotency"],
        )
        key, text = keys.mint(paywall, chosen, actor=actor)
        return Answer(
            text=f"Key {key.name} ({key.public_id}) for {paywall.name}, shown only now:\n{text}",
            facts={**keys.facts(key), "paywall": paywall.public_id, "key": text},
        )
