"""GET /v1/user/entitlements."""

from uuid import UUID

from billing.stripe import drips, plans, products
from config.kit import clock
from paywalls.decisions import Refused
from paywalls.models import EndUser
from proxy.errors import refusal_of
from proxy.requests import Call
from proxy.responses import send_json
from proxy.services import Services


async def show(services: Services, call: Call) -> None:
    """The user's plans, and the features that come with those that are paid.

    Raises: what the gate refuses with.
    """
    user = await services.reads.connect(call.payer)
    if isinstance(user, Refused):
        raise refusal_of(user)
    user_id = user.user_id
    shown = await services.loader.once(("entitlements", user_id), lambda: _plans(user_id))
    await send_json(call, 200, shown)


def _plans(user_id: UUID) -> dict[str, object]:
    running = plans.running(EndUser.objects.get(pk=user_id))
    entitled = [row for row in running if row.status in plans.ENTITLED]
    return {
        "entitlements": sorted({name for row in entitled for name in row.plan.entitlements}),
        "plans": [
            {
                "id": products.public_id(row.plan),
                "name": row.plan.name,
                "status": row.status,
                "currentPeriodEnd": (
                    clock.wire(row.current_period_end) if row.current_period_end else None
                ),
                "cancelAtPeriodEnd": row.cancel_at_period_end,
                "nextCreditAt": clock.wire(comes) if (comes := drips.comes_next(row)) else None,
            }
            for row in running
        ],
    }
