"""POST /v1/user/checkout."""

from uuid import UUID

from billing.stripe import checkout, orders, products
from config.kit.errors import InvalidRequestError
from paywalls.decisions import Refused
from paywalls.models import EndUser
from proxy import fields
from proxy.errors import PaymentsNotConfiguredError, WrongModeError, refusal_of
from proxy.requests import Call
from proxy.responses import send_json
from proxy.services import Services

WHAT = ("package", "plan", "amount")


async def create(services: Services, call: Call) -> None:
    """A link to pay for a package, a plan or an amount; Stripe hears of it when it is opened.

    Raises: InvalidRequestError; PaymentsNotConfiguredError; what the gate refuses with;
        WrongModeError in Shared mode.
    """
    if sum(call.body.get(name) is not None for name in WHAT) != 1:
        raise InvalidRequestError("Send one of `package`, `plan` and `amount`.", param="package")
    amount = fields.amount_nanos(call) if call.body.get("amount") is not None else None
    if call.payer.shared:
        raise WrongModeError("In Shared mode people top up their own wallet.")
    user = await services.reads.connect(call.payer)
    if isinstance(user, Refused):
        raise refusal_of(user)
    user_id = user.user_id
    url = await services.loader.once(object(), lambda: _order(call, user_id, amount))
    await send_json(call, 200, {"url": url})


def _order(call: Call, user_id: UUID, amount_nanos: int | None) -> str:
    user = EndUser.objects.select_related("paywall").get(pk=user_id)
    if orders.account_of(user.paywall, livemode=user.livemode) is None:
        raise PaymentsNotConfiguredError
    settings = orders.settings_of(user.paywall)
    urls = {}
    for name, param in (("success_url", "successUrl"), ("cancel_url", "cancelUrl")):
        if (text := call.body.get(param)) is not None:
            urls[name] = orders.return_url(str(text), settings, param=param)
    sold = orders.sold(user.paywall)
    if amount_nanos is not None:
        draft = orders.topup(sold.terms, amount_nanos, **urls)
    elif call.body.get("package") is not None:
        draft = orders.pack(_chosen(call, "package", sold.packs), **urls)
    else:
        draft = orders.plan(_chosen(call, "plan", sold.plans), **urls)
    return f"{checkout.order_url(orders.start(user, draft))}/go"


def _chosen[P: products.Product](call: Call, name: str, rows: tuple[P, ...]) -> P:
    for row in rows:
        if products.public_id(row) == call.body[name]:
            return row
    raise InvalidRequestError(
        f"There is no such {name}: GET /v1/packages lists what is sold.", param=name
    )
