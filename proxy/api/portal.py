"""GET /v1/user/portal."""

from billing.stripe.portal import open_portal
from paywalls.decisions import Refused
from paywalls.models import EndUser
from proxy.errors import refusal_of
from proxy.requests import Call
from proxy.responses import send_json
from proxy.services import Services


async def show(services: Services, call: Call) -> None:
    """Stripe's page on which the user changes the card or ends the plan; good for some minutes.

    Raises: OrderNotPossibleError; StripeFailedError; what the gate refuses with.
    """
    user = await services.reads.connect(call.payer)
    if isinstance(user, Refused):
        raise refusal_of(user)
    user_id = user.user_id

    def work() -> str:
        return open_portal(EndUser.objects.select_related("paywall").get(pk=user_id))

    await send_json(call, 200, {"url": await services.loader.once(("portal", user_id), work)})
