"""GET /v1/user/connect, GET and POST /v1/user/disconnect."""

from uuid import UUID

from django.db import transaction

from billing.reads import Unconnected
from config.kit import clock, ids
from paywalls import grants, links
from paywalls.decisions import Refused
from paywalls.models import Grant
from proxy.errors import refusal_of
from proxy.requests import Call
from proxy.responses import send_json
from proxy.services import Services


async def connect(services: Services, call: Call) -> None:
    """Default mode: the user is always connected. Shared mode: by a grant, else a link to give one.

    The user is made when it is new. Raises: what the gate refuses with.
    """
    reads = services.reads
    payer = call.payer
    answer: dict[str, object]
    user = await (reads.connect_shared(payer) if payer.shared else reads.connect(payer))
    match user:
        case Refused():
            raise refusal_of(user)
        case Unconnected():
            answer = {
                "connected": False,
                "message": "No wallet pays for this user yet: the link asks for one.",
                "url": links.authorize_url(user.user_id),
            }
        case _:
            answer = {
                "connected": True,
                "connectedUser": {
                    "paywallKeyId": ids.encode("key", call.caller.key.id),
                    "userId": ids.encode("usr", user.user_id),
                    "externalUserId": call.user,
                    "createdAt": clock.wire(user.created_at),
                },
                "message": "This user is connected.",
            }
    await send_json(call, 200, answer)


async def disconnect(services: Services, call: Call) -> None:
    """Shared mode: withdraw the user's grant, for good. Default mode: there is none."""
    if not call.payer.shared:
        message = "In Default mode users are always connected: there is nothing to revoke."
        await send_json(call, 200, {"success": False, "message": message})
        return
    key, user = call.caller.key, call.user
    name = ("disconnect", key.paywall_id, key.livemode, user)
    done = await services.loader.once(
        name, lambda: _withdraw(key.paywall_id, user, livemode=key.livemode, key_id=key.id)
    )
    message = "The wallet does not pay for this user any more." if done else "Nothing to revoke."
    await send_json(call, 200, {"success": done, "message": message})


@transaction.atomic(durable=True)
def _withdraw(paywall_id: UUID, user: str, *, livemode: bool, key_id: UUID) -> bool:
    grant = Grant.objects.filter(
        paywall=paywall_id, livemode=livemode, end_user__external_id=user, revoked_at=None
    ).first()
    if grant is None:
        return False
    grants.revoke(grant, actor=ids.encode("key", key_id))
    return True
