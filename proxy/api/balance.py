"""GET /v1/user/balance."""

from config.kit.money import format_micros, micros
from proxy.requests import Call
from proxy.responses import send_json
from proxy.services import Services


async def show(services: Services, call: Call) -> None:
    """What the user can spend. A user never seen: what the trial would give; creates nothing.

    In Shared mode what this app can spend: what is in the wallet, within its own limit.
    """
    nanos = await services.reads.balance(call.payer)
    answer = {"balance": str(micros(nanos)), "balanceFormatted": format_micros(nanos)}
    await send_json(call, 200, answer)
