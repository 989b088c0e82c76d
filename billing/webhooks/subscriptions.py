"""Subscriptions: made, changed, rotated, ended. Each is recorded, without the secret."""

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db import transaction

from billing.webhooks import events, network, posthog, signing
from billing.webhooks.errors import SubscriptionNotFoundError
from billing.webhooks.events import Event
from billing.webhooks.models import Delivery, Subscription
from billing.webhooks.outbox import emit
from config.kit import clock, crypto, db, egress
from config.kit.egress import DestinationRefusedError
from config.kit.errors import InvalidRequestError
from config.kit.limits import SUBSCRIPTIONS_MAX
from paywalls import audit, notices
from paywalls.models import Paywall

Kind = Subscription.Kind

DESCRIPTION_CHARS_MAX: Final = 512
HEADERS_MAX: Final = 10
HEADER_CHARS_MAX: Final = 1_024
SUFFIX_CHARS: Final = 6
OVERLAP: Final = dt.timedelta(hours=24)
"""How long the previous secret signs too."""
WORKER: Final = "command:worker"
REASONS: Final = {
    "gone": "The receiver answered 410 Gone.",
    "failing": "For five days every delivery failed.",
}

_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}", re.ASCII)
_VALUE: Final = re.compile(r"[ -~]*", re.ASCII)
_SECRET: Final = re.compile(r"[!-~]+", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a developer asks for. secret: None lets us make one."""

    url: object
    events: object
    description: object = ""
    headers: object = field(default_factory=dict)
    secret: object = None


def create(paywall: Paywall, draft: Draft, *, actor: str) -> tuple[Subscription, str]:
    """A webhook subscription and its secret, which is shown only now. In the caller's transaction.

    Raises: InvalidRequestError, which names the field.
    """
    audit.lock(paywall)
    known = Subscription.objects.filter(paywall=paywall, kind=Kind.WEBHOOK, is_active=True)
    if known.count() >= SUBSCRIPTIONS_MAX:
        raise InvalidRequestError(
            f"A paywall has at most {SUBSCRIPTIONS_MAX} active subscriptions: delete one first.",
            param="url",
        )
    secret = signing.new_secret() if draft.secret is None else read_secret(draft.secret)
    row = Subscription(
        paywall=paywall,
        url=read_url(draft.url),
        events=events.read_patterns(draft.events),
        description=_read_description(draft.description),
        headers=_read_headers(draft.headers),
        created_by=actor,
    )
    _seal(row, secret)
    row.save(force_insert=True)
    _record(row, "webhook.created", actor, before=None)
    return row, secret


def connect(
    paywall: Paywall, kind: Kind, url: str, secret: str, *, actor: str
) -> tuple[Subscription, str]:
    """Switch an integration on, or change it: PostHog (url: its host; secret: the project's key) or
    the message endpoint (secret: "" makes one). In the caller's transaction.

    Raises: InvalidRequestError.
    """
    audit.lock(paywall)
    place = read_url(url)
    if kind == Kind.POSTHOG:
        place = place.rstrip("/") + posthog.PATH
    shown = read_secret(secret) if secret or kind == Kind.POSTHOG else signing.new_secret()
    row = Subscription.objects.filter(paywall=paywall, kind=kind).first()
    before = facts(row) if row else None
    row = row or Subscription(paywall=paywall, kind=kind, created_by=actor)
    row.url, row.is_active, row.updated_at = place, True, clock.now()
    row.events = list(posthog.EVENTS) if kind == Kind.POSTHOG else []
    row.consecutive_failures, row.first_failure_at = 0, None
    _seal(row, shown)
    if before is None:
        row.save(force_insert=True)
    else:
        row.save(update_fields=_ALL)
    _record(row, f"{kind}.connected", actor, before=before)
    if kind == Kind.POSTHOG:
        emit(
            paywall,
            Event(
                type="paywall.integration.connected",
                livemode=paywall.livemode,
                source="dashboard",
                actor=actor,
                facts={"integrationKey": kind.value, "enabledBy": actor},
            ),
        )
    return row, shown


def disconnect(paywall: Paywall, kind: Kind, *, actor: str) -> None:
    """Switch an integration off, in the caller's transaction. Off already is as good."""
    row = Subscription.objects.filter(paywall=paywall, kind=kind, is_active=True).first()
    if row is None:
        return
    deactivate(row, actor=actor)
    if kind == Kind.POSTHOG:
        emit(
            paywall,
            Event(
                type="paywall.integration.disconnected",
                livemode=paywall.livemode,
                source="dashboard",
                actor=actor,
                facts={"integrationKey": kind.value, "disabledBy": actor},
            ),
        )


def find(paywall: Paywall, subscription_id: UUID | None) -> Subscription:
    """The webhook subscription of this paywall, locked with it, in the caller's transaction.

    Raises: SubscriptionNotFoundError.
    """
    audit.lock(paywall)
    row = (
        Subscription.objects.filter(paywall=paywall, kind=Kind.WEBHOOK, pk=subscription_id).first()
        if subscription_id
        else None
    )
    if row is None:
        raise SubscriptionNotFoundError("This paywall has no subscription of this id.", param="id")
    return row


def update(row: Subscription, changes: Mapping[str, object], *, actor: str) -> None:
    """Change some of url, events, description, headers, is_active. Switching on starts anew.

    Raises: InvalidRequestError.
    """
    before = facts(row)
    readers = {
        "url": read_url,
        "events": events.read_patterns,
        "description": _read_description,
        "headers": _read_headers,
        "is_active": _read_flag,
    }
    for name, value in changes.items():
        setattr(row, name, readers[name](value))
    if facts(row) == before:
        return
    if not before["is_active"] and row.is_active:
        row.consecutive_failures, row.first_failure_at = 0, None
    row.updated_at = clock.now()
    row.save(update_fields=_ALL)
    if before["is_active"] and not row.is_active:
        _drop_pending(row)
    _record(row, "webhook.updated", actor, before=before)


def rotate(row: Subscription, secret: object = None, *, actor: str) -> str:
    """A new secret, returned only now; for a day the previous one signs too.

    Raises: InvalidRequestError.
    """
    new = signing.new_secret() if secret is None else read_secret(secret)
    before = facts(row)
    row.sealed_previous, row.previous_until = row.sealed_secret, clock.now() + OVERLAP
    row.updated_at = clock.now()
    _seal(row, new)
    row.save(update_fields=_ALL)
    _record(row, "webhook.rotated", actor, before=before)
    return new


def deactivate(row: Subscription, *, actor: str, reason: str = "") -> bool:
    """Tell it nothing more; what is still pending ends. Returns whether it was active."""
    audit.lock(row.paywall)
    row.refresh_from_db()
    if not row.is_active:
        return False
    before = facts(row)
    row.is_active, row.updated_at = False, clock.now()
    row.save(update_fields=["is_active", "updated_at"])
    _drop_pending(row)
    _record(row, "webhook.disabled", actor, before=before, reason=reason)
    return True


def disable(subscription_id: UUID, *, reason: str) -> None:
    """End a subscription whose receiver is lost, and tell the owner. Opens its own transaction."""
    with transaction.atomic():
        row = Subscription.objects.select_related("paywall").get(pk=subscription_id)
        if not deactivate(row, actor=WORKER, reason=REASONS[reason]):
            return
        notices.tell_owners(
            row.paywall.team,
            subject=f"A webhook of {row.paywall.name} was switched off",
            text=f"{REASONS[reason]}\n\n{row.public_id}: {row.url}\n\n"
            "Switch it on again once the receiver answers; what was missed can be replayed.",
        )


def facts(row: Subscription) -> dict[str, Any]:
    """The subscription for audit trails: no secret, and header names only."""
    return {
        "id": row.public_id,
        "kind": row.kind,
        "url": row.url,
        "events": list(row.events),
        "description": row.description,
        "headers": sorted(row.headers),
        "is_active": row.is_active,
        "secret_suffix": row.secret_suffix,
    }


def secrets_of(row: Subscription) -> list[str]:
    """The secrets that sign for it now, the current one first.

    Raises: SealError.
    """
    sealed = [bytes(row.sealed_secret)]
    if row.sealed_previous and row.previous_until and row.previous_until > clock.now():
        sealed.append(bytes(row.sealed_previous))
    return [
        crypto.unseal(each, context=row.seal_context, keys=settings.ENCRYPTION_KEYS).decode()
        for each in sealed
    ]


def read_url(value: object) -> str:
    """An address that may be told of events, as far as its text says.

    Raises: InvalidRequestError.
    """
    if not isinstance(value, str) or not value.strip():
        raise InvalidRequestError(
            "Give the `url` that shall be told, such as https://example.com/hooks.", param="url"
        )
    try:
        egress.parse(value.strip(), network.policy())
    except DestinationRefusedError as refusal:
        raise InvalidRequestError(refusal.message, param="url") from refusal
    return value.strip()


def check_reach(url: object) -> None:
    """Refuse, before anything is saved, a name that leads into a private network today.

    The name is looked up, so no transaction may be open; each post looks again.

    Raises: InvalidRequestError.
    """
    db.forbid_transaction()
    try:
        network.check_now(read_url(url))
    except DestinationRefusedError as refusal:
        raise InvalidRequestError(refusal.message, param="url") from refusal


def read_secret(value: object) -> str:
    """A secret of the developer's own choice.

    Raises: InvalidRequestError.
    """
    is_text = isinstance(value, str) and bool(_SECRET.fullmatch(value))
    if not is_text or not (signing.SECRET_CHARS_MIN <= len(str(value)) <= signing.SECRET_CHARS_MAX):
        raise InvalidRequestError(
            f"A `secret` has {signing.SECRET_CHARS_MIN} to {signing.SECRET_CHARS_MAX} visible"
            " ASCII characters; leave it out to have one made.",
            param="secret",
        )
    text = str(value)
    if text.startswith(signing.PREFIX) and signing.standard_secret(text) != text:
        raise InvalidRequestError(
            "A `secret` that begins with whsec_ goes on in base64.", param="secret"
        )
    return text


_ALL: Final = [
    "url", "events", "description", "headers", "is_active", "sealed_secret", "secret_suffix",
    "sealed_previous", "previous_until", "consecutive_failures", "first_failure_at", "updated_at",
]  # fmt: skip


def _drop_pending(row: Subscription) -> None:
    Delivery.objects.filter(subscription_id=row.pk, status="pending").update(
        status="error", error="The subscription was switched off.", updated_at=clock.now()
    )


def _seal(row: Subscription, secret: str) -> None:
    row.sealed_secret = crypto.seal(
        secret.encode(), context=row.seal_context, keys=settings.ENCRYPTION_KEYS
    )
    row.secret_suffix = secret[-SUFFIX_CHARS:]


def _record(
    row: Subscription, action: str, actor: str, *, before: dict[str, Any] | None, reason: str = ""
) -> None:
    audit.record(
        paywall=row.paywall,
        actor=actor,
        action=action,
        subject=row.public_id,
        before=before,
        after=facts(row) | ({"reason": reason} if reason else {}),
    )


def _read_description(value: object) -> str:
    text = value.strip() if isinstance(value, str) else "" if value is None else None
    if text is None or len(text) > DESCRIPTION_CHARS_MAX or "\0" in text:
        raise InvalidRequestError(
            f"`description` has at most {DESCRIPTION_CHARS_MAX} characters.", param="description"
        )
    return text


def _read_headers(value: object) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict) or len(value) > HEADERS_MAX:
        raise InvalidRequestError(
            f"`customHeaders` is an object of at most {HEADERS_MAX} headers.", param="customHeaders"
        )
    for name, text in value.items():
        is_right = (
            _HEADER.fullmatch(name)
            and isinstance(text, str)
            and len(text) <= HEADER_CHARS_MAX
            and _VALUE.fullmatch(text)
        )
        if not is_right or name.lower() in signing.OURS:
            raise InvalidRequestError(
                f"`customHeaders`: {name[:100]!r} cannot be set, or its value is not plain ASCII"
                f" text of at most {HEADER_CHARS_MAX} characters.",
                param="customHeaders",
            )
    return dict(value)


def _read_flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise InvalidRequestError("`isActive` is true or false.", param="isActive")
    return value
