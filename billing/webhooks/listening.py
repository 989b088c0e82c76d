"""Who listens to a paywall: what the hot path must know, loaded with the rest of its snapshot."""

from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from billing.webhooks import events, subscriptions
from billing.webhooks.models import Subscription
from config.kit.crypto import SealError


@dataclass(frozen=True, slots=True)
class Ear:
    """The developer's message endpoint: where it is, and the secrets that sign for it."""

    url: str
    secrets: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Listening:
    """types: events that somebody wants; empty: nobody listens. message: None: templates speak."""

    types: frozenset[str] = frozenset()
    message: Ear | None = None


NOBODY: Final = Listening()


def load(paywall_id: UUID) -> Listening:
    """One query."""
    types: frozenset[str] = frozenset()
    message = None
    for row in Subscription.objects.filter(paywall_id=paywall_id, is_active=True):
        if row.kind == Subscription.Kind.MESSAGE:
            message = _ear(row)
        else:
            types |= events.matching(row.events)
    return Listening(types, message)


def _ear(row: Subscription) -> Ear | None:
    try:
        return Ear(row.url, tuple(subscriptions.secrets_of(row)))
    except SealError:
        return None  # Sealed with a key that is gone: the templates speak until it is rotated.
