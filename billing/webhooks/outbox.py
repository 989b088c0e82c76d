"""The way in for events that Python knows of; what money does is told by `billing/sql` itself."""

from uuid import UUID

import orjson
from django.db import connection

from billing.webhooks.events import Event
from config.kit.db import require_transaction
from paywalls.models import Paywall


def emit(paywall: Paywall, *events: Event) -> int:
    """Tell events to whoever subscribed to them, in the caller's transaction.

    Returns the number of deliveries: 0 where nobody listens, which costs one look-up.
    """
    require_transaction()
    objects = [as_object(paywall.pk, event) for event in events]
    with connection.cursor() as cursor:
        cursor.execute("SELECT billing_events_put(%s::jsonb)", [orjson.dumps(objects).decode()])
        (deliveries,) = cursor.fetchone()
    return int(deliveries)


def as_object(paywall_id: UUID, event: Event) -> dict[str, object]:
    """An event as `billing_events_put` reads it."""
    return {
        "paywall": paywall_id,
        "live": event.livemode,
        "type": event.type,
        "user": event.user_id,
        "source": event.source,
        "actor": event.actor,
        "facts": event.facts,
        "once": event.once,
    }
