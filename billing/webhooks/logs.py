"""Deliveries to look at, and to send again."""

from typing import Any, Final
from uuid import UUID

import orjson
from django.db import connection

from billing.webhooks.errors import DeliveryNotFoundError, SubscriptionInactiveError
from billing.webhooks.models import Delivery, Subscription
from config.kit import clock
from config.kit.db import require_transaction
from paywalls.models import Paywall

STATUSES: Final = ("pending", "success", "error")

_LIST: Final = """
    SELECT to_jsonb(f) FROM billing_delivery_full f
    JOIN billing_subscription s ON s.id = f.subscription_id AND s.kind = 'webhook'
    WHERE f.paywall_id = %(paywall)s
        AND (%(before)s::uuid IS NULL OR f.id < %(before)s::uuid)
        AND (%(subscription)s::uuid IS NULL OR f.subscription_id = %(subscription)s::uuid)
        AND (%(status)s::text IS NULL OR f.status = %(status)s)
        AND (%(type)s::text IS NULL OR f.type = %(type)s)
    ORDER BY f.id DESC LIMIT %(limit)s
"""
_ONE: Final = "SELECT to_jsonb(f) FROM billing_delivery_full f WHERE f.id = %(id)s"


def page(
    paywall_id: UUID,
    *,
    limit: int,
    before: UUID | None = None,
    subscription_id: UUID | None = None,
    status: str | None = None,
    type_: str | None = None,
) -> list[dict[str, Any]]:
    """Rows of `billing_delivery_full`, the newest first; before: the last id of the page before."""
    arguments = {
        "paywall": paywall_id,
        "before": before,
        "subscription": subscription_id,
        "status": status,
        "type": type_,
        "limit": limit,
    }
    return _rows(_LIST, arguments)


def replay(paywall: Paywall, delivery_id: UUID | None) -> dict[str, Any]:
    """Send a delivery again, with all its attempts, in the caller's transaction; its row.

    Its webhook-id stays, so that a receiver that has seen it can tell.

    Raises: DeliveryNotFoundError; SubscriptionInactiveError.
    """
    require_transaction()
    row = (
        Delivery.objects.select_for_update(no_key=True)
        .filter(pk=delivery_id, paywall_id=paywall.pk)
        .first()
        if delivery_id
        else None
    )
    if row is None:
        raise DeliveryNotFoundError("This paywall has no delivery of this id.", param="id")
    if not Subscription.objects.filter(pk=row.subscription_id, is_active=True).exists():
        raise SubscriptionInactiveError("Its subscription is switched off: switch it on first.")
    now = clock.now()
    row.status, row.attempts, row.due_at, row.updated_at = "pending", 0, now, now
    row.save(update_fields=["status", "attempts", "due_at", "updated_at"])
    return _rows(_ONE, {"id": row.pk})[0]


def _rows(query: str, arguments: dict[str, Any]) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(query, arguments)
        return [orjson.loads(row[0]) for row in cursor.fetchall()]
