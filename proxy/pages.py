"""GET /v1/checkout/{token}: from the link in a message to the page behind it."""

from collections.abc import Mapping

from paywalls.links import TOKEN_CHARS
from proxy.errors import NotFoundError
from proxy.requests import Exchange
from proxy.responses import request_header, write


async def checkout(exchange: Exchange, parts: Mapping[str, str]) -> None:
    """Redirect to the page, which knows whether the link is ours.

    Raises: NotFoundError.
    """
    token = parts["token"]
    if len(token) != TOKEN_CHARS or not token.isascii() or not token.isalnum():
        raise NotFoundError("This link is incomplete: open it as it stands in the message.")
    location = (b"location", f"/pay/{token}".encode())
    await write(exchange.send, 303, b"", [request_header(exchange.id_text), location])
