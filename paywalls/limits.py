"""Bounds that a developer sets: for each user, one user, one key, or the whole paywall."""

from typing import Any, Final

from config.kit import ids
from config.kit.errors import InvalidRequestError
from config.kit.money import AMOUNT_NANOS_MAX
from paywalls import audit
from paywalls.models import ApiKey, EndUser, Limit, Paywall

Kind = Limit.Kind
Subject = Limit.Subject
MONEY_KINDS: Final = frozenset({Kind.SPEND_DAY.value, Kind.SPEND_MONTH.value})
TOKEN_KINDS: Final = frozenset({Kind.OUTPUT_TOKENS.value, Kind.PROMPT_TOKENS.value})
"""Bounds that apply before the user is looked up, so a single user cannot have its own."""

COUNT_MAX: Final = 1_000_000_000
"""Above any count that makes sense as a limit."""


def set_limit(
    paywall: Paywall,
    kind: str,
    value: int | None,
    *,
    subject: Subject,
    key: ApiKey | None = None,
    actor: str,
) -> None:
    """Set a limit, or remove it with None, in the caller's transaction.

    Spending is in nanos, the rest are counts; 0 forbids. key: only for the subject of that name.
    Raises: InvalidRequestError for an unknown kind, a value out of bounds, or another's key.
    """
    assert (key is not None) == (subject == Subject.KEY), "a key's limit has a key"
    audit.lock(paywall)
    _check(kind, value)
    if key and key.paywall_id != paywall.pk:
        raise InvalidRequestError("This key belongs to another paywall.", param="key")
    place: dict[str, Any] = {
        "paywall": paywall,
        "subject": subject,
        "target": key.pk if key else None,
        "kind": kind,
    }
    known = Limit.objects.filter(**place).first()
    before = known.value if known else None
    if before == value:
        return
    if value is None:
        Limit.objects.filter(**place).delete()
    else:
        Limit.objects.update_or_create(**place, defaults={"value": value})
    name = key.public_id if key else str(subject)
    _note(paywall, name, kind, before=before, after=value, actor=actor)


def set_user_limit(user: EndUser, kind: str, value: int | None, *, actor: str) -> None:
    """Set one user's own limit in place of the common one, or go back to that with None.

    In the caller's transaction. Raises: InvalidRequestError as above.
    """
    audit.lock(user.paywall)
    _check(kind, value)
    if kind in TOKEN_KINDS and value is not None:
        raise InvalidRequestError(
            f"{kind} is a limit of each user, a key or the paywall, not of a single user.",
            param="kind",
        )
    current = EndUser.objects.select_for_update(no_key=True).get(pk=user.pk)
    own: dict[str, int] = dict(current.limits or {})
    before = own.get(kind)
    if before == value:
        return
    own.pop(kind, None)
    if value is not None:
        own[kind] = value
    user.limits = own or None
    user.save(update_fields=["limits"])
    name = ids.encode("usr", user.pk)
    _note(user.paywall, name, kind, before=before, after=value, actor=actor)


def _check(kind: str, value: int | None) -> None:
    if kind not in Kind.values:
        raise InvalidRequestError(
            f"{kind!r} is not a limit: choose from {', '.join(Kind.values)}.", param="kind"
        )
    most = AMOUNT_NANOS_MAX if kind in MONEY_KINDS else COUNT_MAX
    if value is not None and not 0 <= value <= most:
        raise InvalidRequestError(f"This limit must be between 0 and {most}.", param="value")


def _note(
    paywall: Paywall, name: str, kind: str, *, before: int | None, after: int | None, actor: str
) -> None:
    audit.record(
        paywall=paywall,
        actor=actor,
        action="limit.removed" if after is None else "limit.set",
        subject=name,
        before=None if before is None else {kind: before},
        after=None if after is None else {kind: after},
    )
