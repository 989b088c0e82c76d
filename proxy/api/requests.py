"""GET /v1/requests/{id}."""

from config.kit import clock, ids
from config.kit.money import format_nanos
from paywalls import links
from proxy.errors import NotFoundError
from proxy.requests import Call
from proxy.responses import send_json
from proxy.services import Services


async def show(services: Services, call: Call) -> None:
    """One request of this paywall: what it used and cost, while it runs and afterwards.

    Raises: NotFoundError.
    """
    key = call.caller.key
    request_id = ids.decode("req", call.parts["id"])
    view = request_id and await services.reads.request(
        key.paywall_id, request_id, livemode=key.livemode, user=key.external_user
    )
    if not request_id or not view:
        raise NotFoundError("This paywall has no request of this id.", param="id")
    answer: dict[str, object] = {
        "id": ids.encode("req", request_id),
        "status": view.status,
        "model": view.model,
        "usage": view.usage,
        "usageSource": view.usage_source,
        "cost": format_nanos(view.charged_nanos),
        "policy": view.policy,
        "error": view.error_code or None,
        "createdAt": clock.wire(view.created_at),
        "finishedAt": clock.wire(view.finished_at) if view.finished_at else None,
        "receiptUrl": links.receipt_url(view.transaction_id) if view.transaction_id else None,
    }
    await send_json(call, 200, answer)
