"""GET /v1/user/menu."""

from paywalls import links
from paywalls.decisions import Refused
from proxy.errors import refusal_of
from proxy.requests import Call
from proxy.responses import send_json
from proxy.services import Services


async def show(services: Services, call: Call) -> None:
    """Links for an app's menu, to pages that need no login; makes the user if it is new.

    Raises: what the gate refuses with.
    """
    user = await services.reads.connect(call.payer)
    if isinstance(user, Refused):
        raise refusal_of(user)
    wallet = links.wallet_url(user.user_id)
    answer = {
        "topup": links.checkout_url(user.user_id),
        "activity": f"{wallet}#activity",
        "wallet": wallet,
    }
    await send_json(call, 200, answer)
