"""`connect_provider`: a key of a model provider, for one paywall."""

import sys
from typing import Any

from django.core.management.base import CommandParser

from config import env
from config.kit.commands import ActionCommand, Answer, read_count
from config.kit.errors import InvalidRequestError
from paywalls import lookup
from providers import connections
from providers.adapters.registry import ADAPTERS
from providers.models import Connection

ON_ARGV = (
    "--key is seen by everyone who can list processes, and stays in the shell's history; "
    "prefer --key-stdin or --key-env."
)


class Command(ActionCommand):
    """Saves a provider key, or changes a connection that has the name already."""

    help = (
        "Connect a paywall to a model provider, or change the connection of this name: its key, "
        "address or position. Another address removes the key, so give both. The key is sealed "
        "and never shown again. Example: echo $OPENAI_API_KEY | ./run manage connect_provider "
        "--paywall pw_… --kind openai --key-stdin"
    )

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--paywall", required=True, help="pw_… id or name")
        parser.add_argument("--kind", help=" | ".join(sorted(ADAPTERS)))
        parser.add_argument("--name", default="", help="prefix of its models (the kind)")
        key = parser.add_mutually_exclusive_group()
        key.add_argument("--key-stdin", action="store_true", help="read the key from stdin")
        key.add_argument(
            "--key-env",
            metavar="VAR",
            help="read the key from VAR, or from the file that VAR_FILE names",
        )
        key.add_argument("--key", help="the key itself (not recommended)")
        parser.add_argument(
            "--base-url",
            help="up to and with /v1; needed for compatible, the provider's own for others",
        )
        parser.add_argument(
            "--position", help="0 is asked first, the others are fallbacks (after the last one)"
        )

    def act(self, options: dict[str, Any], actor: str) -> Answer:
        paywall = lookup.find_paywall(options["paywall"])
        name = options["name"] or options["kind"] or ""
        known = Connection.objects.filter(paywall=paywall, name=name).first()
        key, position = _key(options), options["position"]
        if known is None:
            connection = connections.create(
                paywall,
                connections.Draft(
                    kind=options["kind"] or "",
                    name=name,
                    base_url=options["base_url"] or "",
                    key=key,
                    position=read_count(position, param="position")
                    if position is not None
                    else Connection.objects.filter(paywall=paywall).count(),
                ),
                actor=actor,
            )
        else:
            if options["kind"] not in (None, known.kind):
                raise InvalidRequestError(f"{name} is of the kind {known.kind}.", param="kind")
            changes: dict[str, Any] = {}
            if options["base_url"]:
                changes["base_url"] = options["base_url"]
            if position is not None:
                changes["position"] = read_count(position, param="position")
            connection = connections.update(known, changes, actor=actor)
            if key:
                connection = connections.rotate(connection, key, actor=actor)
        return Answer(
            text=_text(connection, is_new=known is None),
            facts=connections.facts(connection),
            warnings=(ON_ARGV,) if options["key"] else (),
        )


def _key(options: dict[str, Any]) -> str:
    if options["key_stdin"]:
        key = sys.stdin.readline().strip()
    elif options["key_env"]:
        key = env.text(options["key_env"])
    else:
        return (options["key"] or "").strip()
    if not key:
        raise InvalidRequestError("There is no key where you said.", param="key")
    return key


def _text(connection: Connection, *, is_new: bool) -> str:
    verb = "Connected" if is_new else "Changed"
    ending = f"key …{connection.key_last_four}" if connection.key_last_four else "no key shown"
    if connection.sealed_key is None:
        ending = "no key"
    paywall = connection.paywall
    line = f"{verb} {connection.name} ({connection.kind}, {ending}) of {paywall.name}."
    return f"{line}\nNote: {connection.trouble}" if connection.trouble else line
