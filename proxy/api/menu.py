"""GET /v1/user/menu."""

from django.conf import settings

from paywalls import links
from paywalls.decisions import Refused
from proxy.errors import refusal_of
from proxy.requests import Call
from proxy.responses import send_json
from proxy.services import Services


async def show(services: Services, call: Call) -> None:
    """Links for an app's menu, to pages that need no login; makes the user if it is new.

    In Shared mode they lead to the person's own pages, behind a login.

    Raises: what the gate refuses with.
    """
    if call.payer.shared:
        await _show_shared(services, call)
        return
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


async def _show_shared(services: Services, call: Call) -> None:
    user = await services.reads.connect_shared(call.payer)
    if isinstance(user, Refused):
        raise refusal_of(user)
    answer = {
        "topup": links.authorize_url(user.user_id),
        "activity": f"{settings.BASE_URL}/wallet/activity",
        "wallet": f"{settings.BASE_URL}/wallet",
    }
    await send_json(call, 200, answer)
