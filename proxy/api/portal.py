"""GET /v1/user/portal."""

import asyncio
from typing import Final

from billing.stripe.errors import StripeBusyError
from billing.stripe.portal import open_portal
from paywalls.decisions import Refused
from paywalls.models import EndUser
from proxy.errors import WrongModeError, refusal_of
from proxy.requests import Call
from proxy.responses import send_json
from proxy.services import Services

WITHIN_S: Final = 10.0
WAITING_MAX: Final = 32
RETRY_S: Final = 2


async def show(services: Services, call: Call) -> None:
    """Stripe's page on which the user changes the card or ends the plan; good for some minutes.

    Raises: OrderNotPossibleError; StripeFailedError; what the gate refuses with;
        WrongModeError in Shared mode.
    """
    if call.payer.shared:
        raise WrongModeError("In Shared mode people top up their own wallet.")
    user = await services.reads.connect(call.payer)
    if isinstance(user, Refused):
        raise refusal_of(user)
    user_id = user.user_id

    def work() -> str:
        return open_portal(EndUser.objects.select_related("paywall").get(pk=user_id))

    if services.outside.waiting >= WAITING_MAX:
        raise StripeBusyError("Stripe is slow at this moment.", retry_after_s=RETRY_S)
    try:
        async with asyncio.timeout(WITHIN_S):
            url = await services.outside.once(("portal", user_id), work)
    except TimeoutError:
        raise StripeBusyError("Stripe did not answer in time.", retry_after_s=RETRY_S) from None
    await send_json(call, 200, {"url": url})
