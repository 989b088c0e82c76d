"""`sync_models`: which models there are, and what they cost."""

import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from config.kit.commands import Answer, read_actor
from config.kit.errors import InvalidRequestError, PaywallsError
from paywalls import lookup
from providers import pricebook, sync


class Command(BaseCommand):
    """Fills the catalogue."""

    help = (
        "Bring the catalogue of models up to date. Without options: models and costs of OpenAI, "
        "Anthropic, OpenRouter, Together and the demo provider, from the installed price book "
        f"({pricebook.SOURCE}), without the internet; where a price has tiers the dearest is "
        "taken. With --connection: ask that provider (vLLM, Ollama, …) which models it has and "
        "add the names. Those that the price book does not know have no cost: set a price for "
        "them before they can be used."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--connection", help="name of the connection to ask; needs --paywall")
        parser.add_argument("--paywall", help="pw_… id or name")
        parser.add_argument("--json", action="store_true", help="answer with one JSON object")
        parser.add_argument("--actor", default="", help="who did it (command:<your login>)")

    def handle(self, *_args: str, **options: Any) -> None:
        try:
            if bool(options["connection"]) != bool(options["paywall"]):
                raise InvalidRequestError("Give --connection and --paywall together, or neither.")
            answer = _listed(options) if options["connection"] else _book()
        except PaywallsError as error:
            raise CommandError(error.message) from error
        facts = json.dumps(answer.facts, indent=2, ensure_ascii=False)
        self.stdout.write(facts if options["json"] else answer.text)


def _book() -> Answer:
    with transaction.atomic(durable=True):
        result = sync.sync_price_book()
    return Answer(
        text=f"{result.models} models ({result.new} new) from {pricebook.SOURCE}; "
        f"{result.unpriced} without a known price; "
        f"{result.tiered} have tiers and got their dearest price.",
        facts={**asdict(result), "source": pricebook.SOURCE},
    )


def _listed(options: dict[str, Any]) -> Answer:
    connection = sync.find_connection(
        lookup.find_paywall(options["paywall"]), options["connection"]
    )
    listed = sync.fetch_listed(connection)  # asks the provider: no transaction is open
    with transaction.atomic(durable=True):
        added = sync.add_listed(connection, listed, actor=read_actor(options["actor"]))
    lines = [f"{connection.name} lists {len(listed)} models; {len(added)} are new."]
    lines += [f"  {connection.name}/{name}" for name in added]
    facts = {"connection": connection.public_id, "listed": len(listed), "added": added}
    return Answer(text="\n".join(lines), facts=facts)
