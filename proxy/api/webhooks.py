"""/v1/webhooks/…: subscriptions to events, what became of deliveries, and sending them again.

Work for the ORM, so it runs in the few threads that the cold paths have.
"""

from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from django.db import transaction

from billing.webhooks import envelope, events, logs, signing, subscriptions
from billing.webhooks.models import Subscription
from config.kit import clock, ids
from config.kit.errors import InvalidRequestError
from paywalls.models import Paywall
from proxy.requests import Call
from proxy.responses import send_json
from proxy.services import Services

LOGS_DEFAULT: Final = 20
LOGS_MAX: Final = 100
FIELDS: Final = {
    "url": "url",
    "events": "events",
    "description": "description",
    "customHeaders": "headers",
    "isActive": "is_active",
}
"""What PATCH may change, and what it is called below."""

STATUSES: Final = {"active": True, "inactive": False}


async def create(services: Services, call: Call) -> None:
    """A subscription; its secret is in this answer and in no other.

    Raises: InvalidRequestError.
    """
    body, actor = call.body, _actor(call)

    def work() -> dict[str, object]:
        subscriptions.check_reach(body.get("url"))
        draft = subscriptions.Draft(
            url=body.get("url"),
            events=body.get("events"),
            description=body.get("description"),
            headers=body.get("customHeaders"),
            secret=body.get("secret"),
        )
        with transaction.atomic():
            row, secret = subscriptions.create(_paywall(call), draft, actor=actor)
        return {"subscription": _shown(row) | _secret(secret)}

    await send_json(call, 201, await _apart(services, work))


async def index(services: Services, call: Call) -> None:
    """All subscriptions of the paywall, or those of one status.

    Raises: InvalidRequestError.
    """
    status = call.query.get("status")
    if status is not None and status not in STATUSES:
        raise InvalidRequestError("`status` is active or inactive.", param="status")

    def work() -> dict[str, object]:
        found = Subscription.objects.filter(
            paywall_id=call.caller.paywall.id, kind=Subscription.Kind.WEBHOOK
        ).order_by("id")
        if status is not None:
            found = found.filter(is_active=STATUSES[status])
        return {"subscriptions": [_shown(row) for row in found]}

    await send_json(call, 200, await _apart(services, work))


async def show(services: Services, call: Call) -> None:
    """One subscription, without its secret.

    Raises: SubscriptionNotFoundError.
    """
    await _change(services, call, lambda _row: {})


async def remove(services: Services, call: Call) -> None:
    """End a subscription; it stays as a record of what was delivered.

    Raises: SubscriptionNotFoundError.
    """

    def end(row: Subscription) -> dict[str, object]:
        subscriptions.deactivate(row, actor=_actor(call))
        return {"deactivated": True}

    await _change(services, call, end)


async def update(services: Services, call: Call) -> None:
    """Change a subscription, or switch it on again.

    Raises: InvalidRequestError; SubscriptionNotFoundError.
    """
    changes = {own: call.body[name] for name, own in FIELDS.items() if name in call.body}

    def change(row: Subscription) -> dict[str, object]:
        subscriptions.update(row, changes, actor=_actor(call))
        return {}

    await _change(services, call, change, reach=changes.get("url"))


async def rotate(services: Services, call: Call) -> None:
    """A new secret, in this answer and in no other; for a day the previous one signs too.

    Raises: InvalidRequestError; SubscriptionNotFoundError.
    """

    def change(row: Subscription) -> dict[str, object]:
        new = subscriptions.rotate(row, call.body.get("secret"), actor=_actor(call))
        return {"subscription": _shown(row) | _secret(new)}

    await _change(services, call, change)


async def log(services: Services, call: Call) -> None:
    """Deliveries, the newest first.

    Raises: InvalidRequestError.
    """
    query = call.query
    limit = _limit(query.get("limit"))
    arguments: dict[str, Any] = {
        "subscription_id": _id("sub", query.get("subscriptionId"), param="subscriptionId"),
        "before": _id("dly", query.get("cursor"), param="cursor"),
        "status": _word(query.get("status"), logs.STATUSES, param="status"),
        "type_": _word(query.get("eventType"), tuple(events.TYPES), param="eventType"),
    }
    paywall_id = call.caller.paywall.id

    def work() -> dict[str, object]:
        rows = logs.page(paywall_id, limit=limit + 1, **arguments)
        shown = [envelope.log_of(row) for row in rows[:limit]]
        return {"logs": shown, "next": shown[-1]["id"] if len(rows) > limit else None}

    await send_json(call, 200, await _apart(services, work))


async def replay(services: Services, call: Call) -> None:
    """Send a delivery again.

    Raises: DeliveryNotFoundError; SubscriptionInactiveError.
    """
    delivery_id = ids.decode("dly", call.parts["id"])

    def work() -> dict[str, object]:
        with transaction.atomic():
            row = logs.replay(_paywall(call), delivery_id)
        return {"log": envelope.log_of(row)}

    await send_json(call, 200, await _apart(services, work))


async def _change(
    services: Services,
    call: Call,
    change: Callable[[Subscription], dict[str, object]],
    *,
    reach: object = None,
) -> None:
    """Answer with the subscription after a change, and with what the change says besides."""
    subscription_id = ids.decode("sub", call.parts["id"])

    def work() -> dict[str, object]:
        if reach is not None:
            subscriptions.check_reach(reach)
        with transaction.atomic():
            row = subscriptions.find(_paywall(call), subscription_id)
            said = change(row)
            return {"subscription": _shown(row)} | said

    await send_json(call, 200, await _apart(services, work))


async def _apart(services: Services, work: Callable[[], dict[str, object]]) -> dict[str, object]:
    return await services.loader.once(object(), work)


def _paywall(call: Call) -> Paywall:
    return Paywall.objects.get(pk=call.caller.paywall.id)


def _actor(call: Call) -> str:
    return ids.encode("key", call.caller.key.id)


def _shown(row: Subscription) -> dict[str, object]:
    return {
        "id": row.public_id,
        "paywallId": ids.encode("pw", row.paywall_id),
        "url": row.url,
        "events": row.events,
        "isActive": row.is_active,
        "description": row.description,
        "customHeaders": row.headers,
        "createdAt": clock.wire(row.created_at),
        "updatedAt": clock.wire(row.updated_at),
        "secretSuffix": row.secret_suffix,
        "createdBy": row.created_by,
        "consecutiveFailures": row.consecutive_failures,
        "lastDeliveredAt": envelope.when(row.last_delivered_at),
    }


def _secret(secret: str) -> dict[str, object]:
    """The secret, and the form that libraries of Standard Webhooks want."""
    return {"secret": secret, "standardSecret": signing.standard_secret(secret)}


def _limit(text: str | None) -> int:
    if text is None:
        return LOGS_DEFAULT
    if not (text.isascii() and text.isdigit() and len(text) < 4 and 1 <= int(text) <= LOGS_MAX):
        raise InvalidRequestError(f"`limit` is 1 to {LOGS_MAX}.", param="limit")
    return int(text)


def _id(prefix: str, text: str | None, *, param: str) -> UUID | None:
    if text is None:
        return None
    value = ids.decode(prefix, text)
    if value is None:
        raise InvalidRequestError(f"`{param}` is an id that begins with {prefix}_.", param=param)
    return value


def _word(text: str | None, words: tuple[str, ...], *, param: str) -> str | None:
    if text is not None and text not in words:
        raise InvalidRequestError(f"`{param}` is none of those there are.", param=param)
    return text
