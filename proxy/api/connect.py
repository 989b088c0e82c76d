"""GET /v1/user/connect, GET and POST /v1/user/disconnect."""

from config.kit import clock, ids
from paywalls.decisions import Refused
from proxy.errors import refusal_of
from proxy.requests import Call
from proxy.responses import send_json
from proxy.services import Services


async def connect(services: Services, call: Call) -> None:
    """Default mode: the user is always connected, and made when it is new.

    Raises: what the gate refuses with.
    """
    user = await services.reads.connect(call.payer)
    if isinstance(user, Refused):
        raise refusal_of(user)
    answer: dict[str, object] = {
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


async def disconnect(_services: Services, call: Call) -> None:
    """Default mode: there is no authorization that could be revoked."""
    message = "In Default mode users are always connected: there is nothing to revoke."
    await send_json(call, 200, {"success": False, "message": message})
