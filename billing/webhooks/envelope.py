"""A row of `billing_delivery_full` as receivers and the API's logs read it. Pure."""

import datetime as dt
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from billing.webhooks import events
from config.kit import clock, ids

type Row = Mapping[str, Any]
"""A row, from the database's driver or from JSON."""


def event_of(row: Row) -> dict[str, object]:
    """The event with its delivery's status, as both published forms have it."""
    paywall_id, user_id = _uuid(row["paywall_id"]), _uuid(row["user_id"])
    owner_id, user = _uuid(row["owner_id"]), row["external_id"]
    actor_type, actor_id = events.actor_of(row["actor"])
    assert paywall_id is not None, row
    subject: dict[str, object] = {
        "type": "user" if user_id else "paywall",
        "id": ids.encode("usr", user_id) if user_id else ids.encode("pw", paywall_id),
        "externalId": user,
    }
    return {
        "id": public("evt", row["event_id"]),
        "paywallId": ids.encode("pw", paywall_id),
        "ownerUserId": ids.encode("dev", owner_id) if owner_id else None,
        "type": row["type"],
        "version": events.VERSION,
        "status": row["status"],
        "createdAt": when(row["happened_at"]),
        "trigger": {"source": row["source"], "actorType": actor_type, "actorId": actor_id},
        "subject": subject,
        "data": events.data_of(
            row["type"], row["facts"], paywall_id=paywall_id, owner_id=owner_id, user=user
        ),
        "metadata": {"livemode": row["livemode"]},
    }


def body_of(row: Row) -> dict[str, object]:
    """What is posted: delivery and event, and the event's fields flat beside them."""
    event = event_of(row)
    delivery = {
        "id": public("dly", row["id"]),
        "subscriptionId": public("sub", row["subscription_id"]),
        "attempts": row["attempts"],
        "createdAt": when(row["created_at"]),
        "updatedAt": when(row["updated_at"]),
    }
    return {"delivery": delivery, "event": event, **event, "attempts": row["attempts"]}


def log_of(row: Row) -> dict[str, object]:
    """A delivery as `GET /v1/webhooks/logs` shows it."""
    is_pending = row["status"] == "pending"
    return {
        "id": public("dly", row["id"]),
        "subscriptionId": public("sub", row["subscription_id"]),
        "status": row["status"],
        "attempts": row["attempts"],
        "lastAttemptAt": when(row["last_attempt_at"]),
        "nextRetryAt": when(row["due_at"]) if is_pending else None,
        "responseCode": row["response_code"],
        "responseLatencyMs": row["latency_ms"],
        "error": row["error"] or None,
        "createdAt": when(row["created_at"]),
        "updatedAt": when(row["updated_at"]),
        "event": event_of(row),
    }


def public(prefix: str, value: Any) -> str:
    """The text form of an id that may be text already."""
    found = _uuid(value)
    assert found is not None, prefix
    return ids.encode(prefix, found)


def when(value: Any) -> str | None:
    """A time as everyone outside sees it."""
    if isinstance(value, str):
        value = dt.datetime.fromisoformat(value)
    return clock.wire(value) if value is not None else None


def _uuid(value: Any) -> UUID | None:
    return value if value is None or isinstance(value, UUID) else UUID(value)
