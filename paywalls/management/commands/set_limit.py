"""`set_limit`: bounds for users, keys and the whole paywall."""

from typing import Any

from django.core.management.base import CommandParser

from config.kit import ids
from config.kit.commands import ActionCommand, Answer, read_amount, read_count
from config.kit.errors import InvalidRequestError
from config.kit.money import format_nanos
from paywalls import limits, lookup, users
from paywalls.models import ApiKey, Paywall

KINDS = (
    "output_tokens (of one answer, clamps), prompt_tokens (of one request, refuses), concurrency "
    "(requests at a time), requests_minute, requests_day, spend_day, spend_month (amounts of money "
    "in the paywall's currency and time zone)"
)


class Command(ActionCommand):
    """Sets or removes a limit."""

    help = (
        "Set a limit for each user of a paywall, for one user in place of that, for one key, or "
        f"for the whole paywall. Kinds: {KINDS}. 0 forbids."
    )
    positionals = ("paywall", "kind", "value")

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("paywall", help="pw_… id or name")
        parser.add_argument("kind", help="one of the kinds above")
        parser.add_argument("value", help="a whole number or an amount; none removes the limit")
        subject = parser.add_mutually_exclusive_group()
        subject.add_argument(
            "--each-user", action="store_true", help="for each user (this is the default)"
        )
        subject.add_argument("--whole-paywall", action="store_true", help="for all users together")
        subject.add_argument("--key", help="for one key: key_… id, name or last four characters")
        subject.add_argument("--user", help="for one user: your own id for them, or usr_…")
        parser.add_argument("--test", action="store_true", help="--user is a test user")

    def act(self, options: dict[str, Any], actor: str) -> Answer:
        paywall = lookup.find_paywall(options["paywall"])
        kind = options["kind"]
        value = _read_value(options["value"], kind)
        if options["user"]:
            user = users.find(paywall, options["user"], livemode=not options["test"])
            limits.set_user_limit(user, kind, value, actor=actor)
            subject = f"user {ids.encode('usr', user.pk)}"
        else:
            key = lookup.find_key(options["key"]) if options["key"] else None
            subject = _set_common(paywall, kind, value, key, options, actor)
        return Answer(
            text=f"{_described(kind, value)} for {subject} on {paywall.name}.",
            facts={
                "paywall": paywall.public_id,
                "subject": subject,
                "kind": kind,
                "value": _shown(kind, value),
            },
        )


def _set_common(
    paywall: Paywall,
    kind: str,
    value: int | None,
    key: ApiKey | None,
    options: dict[str, Any],
    actor: str,
) -> str:
    subject = limits.Subject.KEY if key else limits.Subject.USER
    if options["whole_paywall"]:
        subject = limits.Subject.PAYWALL
    limits.set_limit(paywall, kind, value, subject=subject, key=key, actor=actor)
    return f"key {key.public_id}" if key else str(subject.label)


def _read_value(text: str, kind: str) -> int | None:
    if text == "none":
        return None
    if kind in limits.MONEY_KINDS:
        return read_amount(text, param="value")
    if kind not in limits.Kind.values:
        raise InvalidRequestError(
            f"{kind!r} is not a limit: choose from {', '.join(limits.Kind.values)}.", param="kind"
        )
    return read_count(text, param="value")


def _shown(kind: str, value: int | None) -> str | int | None:
    is_money = value is not None and kind in limits.MONEY_KINDS
    return format_nanos(value or 0) if is_money else value


def _described(kind: str, value: int | None) -> str:
    return f"No {kind} limit" if value is None else f"Limit {kind} is {_shown(kind, value)}"
