"""What our management commands share: `--json`, `--actor`, one transaction, one-line errors."""

import datetime as dt
import getpass
import json
import re
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, Final, NoReturn

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError, transaction

from config.kit import clock
from config.kit.errors import InvalidRequestError, PaywallsError
from config.kit.money import parse_nanos

ACTOR_CHARS_MAX: Final = 64

_DURATION: Final = re.compile(r"([0-9]{1,5})([hd])", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a command did: `text` for people, `facts` for programs (--json)."""

    text: str
    facts: Mapping[str, Any]
    warnings: tuple[str, ...] = ()


class OneLineParser(CommandParser):
    """Refuses in one line instead of repeating the whole usage."""

    def error(self, message: str) -> NoReturn:
        if not self.called_from_command_line:
            raise CommandError(f"Error: {message}")
        self.exit(1, f"{self.prog}: {message}. See --help.\n")


class ActionCommand(BaseCommand):
    """A command that does one thing in one transaction.

    Subclasses write `add_options` and `act`. `positionals` names the arguments that are not flags,
    so that an error can name what the caller typed.
    """

    positionals: ClassVar[tuple[str, ...]] = ()
    is_atomic: ClassVar[bool] = True
    """False for one that talks to others on the way and opens its own transactions."""

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.__class__ = OneLineParser  # Django names the class itself.
        return parser

    def add_arguments(self, parser: CommandParser) -> None:
        self.add_options(parser)
        parser.add_argument("--json", action="store_true", help="answer with one JSON object")
        parser.add_argument(
            "--actor", default="", help="who did it, for the audit trail (command:<your login>)"
        )

    def add_options(self, parser: CommandParser) -> None:
        raise NotImplementedError

    def act(self, options: dict[str, Any], actor: str) -> Answer:
        """Do it, inside the transaction. Raises: PaywallsError, which becomes one line."""
        raise NotImplementedError

    def handle(self, *_args: str, **options: Any) -> None:
        try:
            actor = read_actor(options["actor"])
            with transaction.atomic(durable=True) if self.is_atomic else nullcontext():
                answer = self.act(options, actor)
        except PaywallsError as error:
            raise CommandError(self._sentence(error, options)) from error
        except OperationalError as error:
            reason = str(error).strip().splitlines()[0]
            raise CommandError(f"The database does not answer: {reason}") from error
        for warning in answer.warnings:
            self.stderr.write(f"Warning: {warning}")
        if options["json"]:
            self.stdout.write(json.dumps(answer.facts, indent=2, ensure_ascii=False))
        else:
            self.stdout.write(answer.text)

    def _sentence(self, error: PaywallsError, options: dict[str, Any]) -> str:
        message = " ".join(error.message.split())
        if error.param in self.positionals:
            return f"{error.param}: {message}"
        if error.param in options:
            return f"--{error.param.replace('_', '-')}: {message}"
        return message


def read_amount(text: str, *, param: str) -> int:
    """Nanos of an amount typed on the command line.

    Raises: InvalidRequestError.
    """
    nanos = parse_nanos(text)
    if nanos is None:
        raise InvalidRequestError(
            f"{text!r} is not an amount: a decimal number such as 12.50, without sign.",
            param=param,
        )
    return nanos


def read_count(text: str, *, param: str) -> int:
    """A whole number typed on the command line.

    Raises: InvalidRequestError.
    """
    if not text.isascii() or not text.isdigit() or len(text) > 12:
        raise InvalidRequestError(f"{text!r} is not a whole number.", param=param)
    return int(text)


def read_duration(text: str, *, param: str) -> dt.timedelta:
    """`36h` or `90d`.

    Raises: InvalidRequestError.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise InvalidRequestError(f"{text!r} is not a duration such as 36h or 90d.", param=param)
    number, unit = int(match[1]), match[2]
    return dt.timedelta(hours=number) if unit == "h" else dt.timedelta(days=number)


def read_moment(text: str, *, param: str) -> dt.datetime:
    """`90d` from now, or an ISO-8601 time with its zone.

    Raises: InvalidRequestError.
    """
    if _DURATION.fullmatch(text):
        return clock.now() + read_duration(text, param=param)
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise InvalidRequestError(
            f"{text!r} is neither a duration such as 90d nor a time such as 2030-01-31T00:00:00Z.",
            param=param,
        )
    return moment.astimezone(dt.UTC)


def read_actor(text: str) -> str:
    actor = text.strip() or f"command:{_login()}"
    if len(actor) > ACTOR_CHARS_MAX or not actor.isprintable():
        raise InvalidRequestError(
            f"An actor has at most {ACTOR_CHARS_MAX} visible characters.", param="actor"
        )
    return actor


def _login() -> str:
    """The operating system's name for us; containers may have none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
