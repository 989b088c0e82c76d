"""`set_alias`: a paywall's own name for a model."""

from typing import Any

from django.core.management.base import CommandParser

from config.kit.commands import ActionCommand, Answer
from config.kit.errors import InvalidRequestError
from paywalls import aliases, lookup


class Command(ActionCommand):
    """Sets or removes an alias."""

    help = "Let a name of your own, such as fast, stand for a model, such as openai/gpt-4o-mini."
    positionals = ("paywall", "alias", "model")

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("paywall", help="pw_… id or name")
        parser.add_argument("alias", help="what callers write")
        parser.add_argument("model", nargs="?", default="", help="what it stands for")
        parser.add_argument("--remove", action="store_true", help="forget the alias")

    def act(self, options: dict[str, Any], actor: str) -> Answer:
        paywall = lookup.find_paywall(options["paywall"])
        alias, model = options["alias"], options["model"]
        if bool(model) == options["remove"]:
            raise InvalidRequestError("Give either a model or --remove.", param="model")
        if options["remove"]:
            aliases.remove_alias(paywall, alias, actor=actor)
        else:
            aliases.set_alias(paywall, alias, model, actor=actor)
        stands = f"stands for {model}" if model else "stands for nothing"
        return Answer(
            text=f"{alias} {stands} on {paywall.name}.",
            facts={"paywall": paywall.public_id, "alias": alias, "model": model or None},
        )
