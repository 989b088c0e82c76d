"""GET /v1/user/balance/topup."""

from billing.stripe.models import StripeAccount
from paywalls import links
from paywalls.decisions import Refused
from proxy.errors import PaymentsNotConfiguredError, refusal_of
from proxy.requests import Call
from proxy.responses import send_json
from proxy.services import Services


async def show(services: Services, call: Call) -> None:
    """The user's link, behind which they pay. It is the same each time; nothing is made at Stripe.

    In Shared mode it leads to the person's own wallet, whoever that may be.
    Raises: PaymentsNotConfiguredError; what the gate refuses with.
    """
    if call.payer.shared:
        await _show_shared(services, call)
        return
    paywall_id, livemode = call.caller.paywall.id, call.caller.key.livemode

    def look() -> bool:
        return StripeAccount.objects.filter(
            paywall=paywall_id, is_active=True, livemode=livemode
        ).exists()

    if not await services.loader.once(("stripe", paywall_id, livemode), look):
        raise PaymentsNotConfiguredError
    user = await services.reads.connect(call.payer)
    if isinstance(user, Refused):
        raise refusal_of(user)
    await send_json(call, 200, {"url": links.checkout_url(user.user_id)})


async def _show_shared(services: Services, call: Call) -> None:
    user = await services.reads.connect_shared(call.payer)
    if isinstance(user, Refused):
        raise refusal_of(user)
    await send_json(call, 200, {"url": links.authorize_url(user.user_id)})
