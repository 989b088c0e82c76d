"""The shapes and operations of /v1/webhooks, for the OpenAPI document."""

from typing import Any, Final

from proxy.operation import WITH_BODY, Operation
from proxy.schemas import COUNT, TEXT, TIME, Schema, listed, record

_NULLABLE: Final[Schema] = {"type": ["string", "null"]}
_MAYBE_TIME: Final[Schema] = {"type": ["string", "null"], "format": "date-time"}
_MAYBE_COUNT: Final[Schema] = {"type": ["integer", "null"], "minimum": 0}
_HEADERS: Final[Schema] = {"type": ["object", "null"], "additionalProperties": TEXT}
EVENTS: Final[Schema] = {"type": "array", "items": TEXT, "minItems": 1}

_SUBSCRIPTION: Final[dict[str, Any]] = {
    "id": TEXT,
    "paywallId": TEXT,
    "url": TEXT,
    "events": EVENTS,
    "isActive": {"type": "boolean"},
    "description": TEXT,
    "customHeaders": {"type": "object", "additionalProperties": TEXT},
    "createdAt": TIME,
    "updatedAt": TIME,
    "secretSuffix": TEXT,
    "createdBy": TEXT,
    "consecutiveFailures": COUNT,
    "lastDeliveredAt": _MAYBE_TIME,
}
SUBSCRIPTION: Final = record(_SUBSCRIPTION)
WITH_SECRET: Final = record(_SUBSCRIPTION | {"secret": TEXT, "standardSecret": TEXT})
EVENT: Final = record(
    {
        "id": TEXT,
        "paywallId": TEXT,
        "ownerUserId": _NULLABLE,
        "type": TEXT,
        "version": {"const": "1.0"},
        "status": TEXT,
        "createdAt": TIME,
        "trigger": record({"source": TEXT, "actorType": TEXT, "actorId": _NULLABLE}),
        "subject": record({"type": TEXT, "id": TEXT, "externalId": _NULLABLE}),
        "data": {"type": "object"},
        "metadata": {"type": "object"},
    }
)
LOG: Final = record(
    {
        "id": TEXT,
        "subscriptionId": TEXT,
        "status": {"enum": ["pending", "success", "error"]},
        "attempts": COUNT,
        "lastAttemptAt": _MAYBE_TIME,
        "nextRetryAt": _MAYBE_TIME,
        "responseCode": _MAYBE_COUNT,
        "responseLatencyMs": _MAYBE_COUNT,
        "error": _NULLABLE,
        "createdAt": TIME,
        "updatedAt": TIME,
        "event": EVENT,
    }
)
_EDITABLE: Final = {
    "url": TEXT,
    "events": EVENTS,
    "description": _NULLABLE | {"maxLength": 512},
    "customHeaders": _HEADERS | {"maxProperties": 10},
}
_SECRET: Final = {"secret": _NULLABLE | {"minLength": 16, "maxLength": 256}}
_EXAMPLE: Final = {"url": "https://example.com/hooks", "events": ["paywall.balance.*"]}
_ONE: Final = record({"subscription": SUBSCRIPTION})

PARAMETERS: Final = {
    "subscriptionId": ("id", "path", TEXT, "Of the subscription: `sub_…`"),
    "deliveryId": ("id", "path", TEXT, "Of the delivery: `dly_…`"),
    "isActive": ("status", "query", {"enum": ["active", "inactive"]}, "Default: all"),
    "ofSubscription": ("subscriptionId", "query", TEXT, "Deliveries of one subscription"),
    "deliveryStatus": (
        "status", "query", {"enum": ["pending", "success", "error"]}, "Default: all",
    ),
    "eventType": ("eventType", "query", TEXT, "Deliveries of one type of event"),
    "limit": ("limit", "query", {"type": "integer", "minimum": 1, "maximum": 100}, "Default 20"),
    "cursor": ("cursor", "query", TEXT, "`next` of the page before"),
}  # fmt: skip

OPERATIONS: Final = (
    Operation(
        path="/webhooks/subscriptions",
        name="listWebhookSubscriptions",
        summary="The paywall's webhook subscriptions",
        answer=record({"subscriptions": listed(SUBSCRIPTION)}),
        parameters=("isActive",),
    ),
    Operation(
        path="/webhooks/subscriptions",
        method="post",
        name="createWebhookSubscription",
        summary="Be told of events; the answer alone has the secret",
        answer=record({"subscription": WITH_SECRET}),
        success=201,
        body=record(
            {"url": TEXT, "events": EVENTS},
            {name: _EDITABLE[name] for name in ("description", "customHeaders")} | _SECRET,
        ),
        example=_EXAMPLE,
        statuses=WITH_BODY,
    ),
    Operation(
        path="/webhooks/subscriptions/{id}",
        name="getWebhookSubscription",
        summary="One subscription",
        answer=_ONE,
        parameters=("subscriptionId",),
    ),
    Operation(
        path="/webhooks/subscriptions/{id}",
        method="patch",
        name="updateWebhookSubscription",
        summary="Change a subscription, or switch it on again",
        answer=_ONE,
        body=record({}, _EDITABLE | {"isActive": {"type": "boolean"}}),
        example={"isActive": True},
        parameters=("subscriptionId",),
        statuses=WITH_BODY,
    ),
    Operation(
        path="/webhooks/subscriptions/{id}",
        method="delete",
        name="deleteWebhookSubscription",
        summary="Switch a subscription off",
        answer=record({"deactivated": {"const": True}, "subscription": SUBSCRIPTION}),
        parameters=("subscriptionId",),
    ),
    Operation(
        path="/webhooks/subscriptions/{id}/rotate",
        method="post",
        name="rotateWebhookSecret",
        summary="A new secret; for a day the previous one signs too",
        answer=record({"subscription": WITH_SECRET}),
        body=record({}, _SECRET),
        body_required=False,
        example={},
        parameters=("subscriptionId",),
        statuses=WITH_BODY,
    ),
    Operation(
        path="/webhooks/logs",
        name="listWebhookDeliveries",
        summary="Deliveries, the newest first",
        answer=record({"logs": listed(LOG), "next": _NULLABLE}),
        parameters=("ofSubscription", "deliveryStatus", "eventType", "limit", "cursor"),
    ),
    Operation(
        path="/webhooks/logs/{id}/replay",
        method="post",
        name="replayWebhookDelivery",
        summary="Send a delivery again",
        answer=record({"log": LOG}),
        body=record({}),
        body_required=False,
        example={},
        parameters=("deliveryId",),
        statuses=(*WITH_BODY, 409),
    ),
)
