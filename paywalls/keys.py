"""Paywall keys: made once, shown once, kept as a keyed hash.

`sk-paywalls-v1-` (live) or `sk-paywalls-test-`, 40 base62 characters of secret, 6 of checksum.
The checksum refuses garbage without a look-up and lets scanners recognise a leaked key.
"""

import datetime as dt
import re
import secrets
import string
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db.models import Q

from config.kit import clock, ids
from config.kit.crypto import keyed_hash
from config.kit.db import require_transaction
from config.kit.errors import InvalidRequestError
from config.kit.text import read_name
from paywalls import audit
from paywalls.models import ApiKey, EndUser, Limit, Paywall

CHAT: Final = "chat"
MODELS: Final = "models"
BALANCE: Final = "balance"
CHARGE: Final = "charge"
DEPOSIT: Final = "deposit"
CONNECT: Final = "connect"
USAGE: Final = "usage"
REQUESTS: Final = "requests"
WEBHOOKS: Final = "webhooks"
SCOPES: Final = (CHAT, MODELS, BALANCE, CHARGE, DEPOSIT, CONNECT, USAGE, REQUESTS, WEBHOOKS)
USER_SCOPES: Final = tuple(scope for scope in SCOPES if scope not in (DEPOSIT, WEBHOOKS))
"""What a key bound to an end user may ever do: whoever holds it must neither make money nor hear of
other users."""

LIVE_PREFIX: Final = "sk-paywalls-v1-"
TEST_PREFIX: Final = "sk-paywalls-test-"
BASE62: Final = string.digits + string.ascii_letters
SECRET_CHARS: Final = 40
CHECKSUM_CHARS: Final = 6
OVERLAP_DAYS_MAX: Final = 30

_FORM: Final = re.compile(
    rf"(?:{LIVE_PREFIX}|{TEST_PREFIX})[0-9A-Za-z]{{{SECRET_CHARS + CHECKSUM_CHARS}}}", re.ASCII
)


@dataclass(frozen=True, slots=True)
class ParsedKey:
    """What a well-formed key says of itself."""

    livemode: bool
    last_four: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyOptions:
    """What a new key may do. Empty scopes or allowed models allow all.

    end_user: the key needs no `user` and never acts for another.
    error_mode: refusals are HTTP 402 instead of assistant messages.
    """

    name: str
    livemode: bool = True
    scopes: Sequence[str] = ()
    allowed_models: Sequence[str] = ()
    end_user: EndUser | None = None
    expires_at: dt.datetime | None = None
    error_mode: bool = False
    idempotency_required: bool = False


def parse(text: str) -> ParsedKey | None:
    """What the key says of itself, or None when it was never one of ours. Asks nobody."""
    if not _FORM.fullmatch(text):
        return None
    body, checksum = text[:-CHECKSUM_CHARS], text[-CHECKSUM_CHARS:]
    if _checksum(body) != checksum:
        return None
    return ParsedKey(livemode=text.startswith(LIVE_PREFIX), last_four=text[-4:])


def digest(text: str) -> list[bytes]:
    """The key's hash under every pepper still configured, the current one first."""
    return [keyed_hash(text, pepper=pepper) for _, pepper in reversed(settings.KEY_PEPPERS.items())]


def mint(paywall: Paywall, options: KeyOptions, *, actor: str) -> tuple[ApiKey, str]:
    """Make a key, in the caller's transaction. The text is returned here and nowhere else.

    Raises: InvalidRequestError for an unknown scope, another paywall's user or a bad expiry.
    """
    require_transaction()
    _validate(paywall, options)
    text = _new_text(livemode=options.livemode)
    key = ApiKey.objects.create(
        paywall=paywall,
        name=options.name,
        hash=digest(text)[0],
        pepper=next(reversed(settings.KEY_PEPPERS)),
        last_four=text[-4:],
        livemode=options.livemode,
        scopes=list(options.scopes),
        allowed_models=list(options.allowed_models),
        end_user=options.end_user,
        error_mode=options.error_mode,
        idempotency_required=options.idempotency_required,
        expires_at=options.expires_at,
    )
    audit.record(
        paywall=paywall,
        actor=actor,
        action="key.created",
        subject=key.public_id,
        after=facts(key),
    )
    return key, text


def revoke(key: ApiKey, *, actor: str) -> None:
    """End a key for good, in the caller's transaction; one that has ended stays as it is."""
    audit.lock(key.paywall)
    now = clock.now()
    if not ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=now):
        return
    key.revoked_at = now
    audit.record(
        paywall=key.paywall,
        actor=actor,
        action="key.revoked",
        subject=key.public_id,
        after={"revoked_at": clock.wire(now)},
    )


def rotate(key: ApiKey, *, overlap: dt.timedelta, actor: str) -> tuple[ApiKey, str]:
    """Replace a key by one that may do the same; the old one ends after the overlap.

    In the caller's transaction.
    Raises: InvalidRequestError when the key has ended already, or the overlap is out of bounds.
    """
    audit.lock(key.paywall)
    now = clock.now()
    if not dt.timedelta(0) <= overlap <= dt.timedelta(days=OVERLAP_DAYS_MAX):
        raise InvalidRequestError(
            f"The overlap must be between 0 and {OVERLAP_DAYS_MAX} days.", param="overlap"
        )
    old = ApiKey.objects.get(pk=key.pk)
    if not is_usable(old) or old.replaced_by_id is not None:
        raise InvalidRequestError(
            "This key has ended or was replaced: make a new one instead.", param="key"
        )
    successor, text = mint(key.paywall, _options_of(old), actor=actor)
    _copy_limits(old, successor)
    ends = min(now + overlap, old.expires_at or now + overlap)
    old.replaced_by, old.expires_at = successor, ends
    old.save(update_fields=["replaced_by", "expires_at"])
    audit.record(
        paywall=key.paywall,
        actor=actor,
        action="key.rotated",
        subject=old.public_id,
        after={
            "replaced_by": successor.public_id,
            "last_four": successor.last_four,
            "expires_at": clock.wire(ends),
        },
    )
    return successor, text


def is_usable(key: ApiKey) -> bool:
    """Neither revoked nor expired, by this process's clock."""
    return key.revoked_at is None and (key.expires_at is None or key.expires_at > clock.now())


def refresh(key: ApiKey, digest_now: bytes) -> None:
    """Keep the key under the current pepper once it has been shown, so that old ones can go."""
    current = next(reversed(settings.KEY_PEPPERS))
    if key.pepper != current:
        ApiKey.objects.filter(pk=key.pk).update(hash=digest_now, pepper=current)


def touch(key_ids: Iterable[UUID]) -> None:
    """Note that these keys were used. For a periodic writer: it changes no configuration."""
    now = clock.now()
    stale = Q(last_used_at__isnull=True) | Q(last_used_at__lt=now)
    ApiKey.objects.filter(stale, pk__in=list(key_ids)).update(last_used_at=now)


def facts(key: ApiKey) -> dict[str, object]:
    """The key as the audit trail and commands show it: never its secret."""
    return {
        "id": key.public_id,
        "name": key.name,
        "last_four": key.last_four,
        "livemode": key.livemode,
        "scopes": key.scopes,
        "allowed_models": key.allowed_models,
        "user": ids.encode("usr", key.end_user_id) if key.end_user_id else None,
        "error_mode": key.error_mode,
        "idempotency_required": key.idempotency_required,
        "expires_at": clock.wire(key.expires_at) if key.expires_at else None,
    }


def _validate(paywall: Paywall, options: KeyOptions) -> None:
    read_name(options.name, param="name")
    possible = USER_SCOPES if options.end_user else SCOPES
    if unknown := [scope for scope in options.scopes if scope not in possible]:
        raise InvalidRequestError(
            f"{unknown[0]!r} is not a scope of such a key: choose from {', '.join(possible)}.",
            param="scopes",
        )
    if options.end_user and options.end_user.paywall_id != paywall.pk:
        raise InvalidRequestError("This user belongs to another paywall.", param="user")
    if options.expires_at and options.expires_at <= clock.now():
        raise InvalidRequestError("The expiry must lie in the future.", param="expires")


def _options_of(key: ApiKey) -> KeyOptions:
    return KeyOptions(
        name=key.name,
        livemode=key.livemode,
        scopes=key.scopes,
        allowed_models=key.allowed_models,
        end_user=key.end_user,
        expires_at=key.expires_at,
        error_mode=key.error_mode,
        idempotency_required=key.idempotency_required,
    )


def _copy_limits(old: ApiKey, successor: ApiKey) -> None:
    Limit.objects.bulk_create(
        Limit(
            paywall_id=old.paywall_id,
            subject=Limit.Subject.KEY,
            target=successor.pk,
            kind=limit.kind,
            value=limit.value,
        )
        for limit in Limit.objects.filter(paywall_id=old.paywall_id, target=old.pk)
    )


def _new_text(*, livemode: bool) -> str:
    prefix = LIVE_PREFIX if livemode else TEST_PREFIX
    body = prefix + "".join(secrets.choice(BASE62) for _ in range(SECRET_CHARS))
    return body + _checksum(body)


def _checksum(body: str) -> str:
    number = zlib.crc32(body.encode())
    characters = []
    for _ in range(CHECKSUM_CHARS):
        number, digit = divmod(number, len(BASE62))
        characters.append(BASE62[digit])
    return "".join(reversed(characters))
