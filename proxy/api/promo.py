"""POST /v1/user/promo."""

from billing.stripe import promos
from config.kit.errors import InvalidRequestError
from config.kit.money import format_nanos
from paywalls.decisions import Refused
from paywalls.models import EndUser
from proxy.errors import WrongModeError, refusal_of
from proxy.requests import Call
from proxy.responses import send_json
from proxy.services import Services


async def create(services: Services, call: Call) -> None:
    """Give the user the credit of a code; a second time answers the same and gives nothing more.

    Raises: InvalidRequestError; PromoNotValidError; PromoTriesError; what the gate refuses with;
        WrongModeError in Shared mode.
    """
    code = call.body.get("code")
    if not isinstance(code, str):
        raise InvalidRequestError("`code` must be a string.", param="code")
    if call.payer.shared:
        raise WrongModeError("In Shared mode people top up their own wallet.")
    user = await services.reads.connect(call.payer)
    if isinstance(user, Refused):
        raise refusal_of(user)
    user_id = user.user_id

    def work() -> int:
        return promos.redeem(EndUser.objects.select_related("paywall").get(pk=user_id), code)

    credit = await services.loader.once(("promo", user_id, code), work)
    await send_json(call, 200, {"credit": format_nanos(credit)})
