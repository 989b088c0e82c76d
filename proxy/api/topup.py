"""GET /v1/user/balance/topup."""

from proxy.errors import PaymentsNotConfiguredError
from proxy.requests import Call
from proxy.services import Services


async def show(_services: Services, _call: Call) -> None:
    """The page where the user can pay, once a payment provider can be connected.

    Raises: PaymentsNotConfiguredError.
    """
    raise PaymentsNotConfiguredError
