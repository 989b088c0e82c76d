"""Who the end user is: body, query, header or address, whichever is first present."""

import re
from collections.abc import Mapping
from typing import Final

from config.kit.errors import InvalidRequestError
from paywalls.users import read_external_id
from proxy.errors import MissingUserError
from proxy.requests import Headers

HEADER: Final = "x-paywall-user"
WARNING_EMAIL: Final = "user-looks-like-email"

_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")


def resolve(
    body: Mapping[str, object], query: Mapping[str, str], headers: Headers, prefix: str
) -> str:
    """The end user's external id; the first that is present counts, later ones are ignored.

    query: only of a GET. prefix: from `/v1/{user}/…`, else empty.
    Raises: MissingUserError; InvalidRequestError for an id that is not 1 to 128 visible characters.
    """
    value = body.get("user")
    if value is None:
        value = query.get("user")
    if value is None and (header := headers.get(HEADER)) is not None:
        value = decoded(header, name="X-Paywall-User")
    if value is None:
        if not prefix:
            raise MissingUserError
        value = prefix
    return read_external_id(value)


def looks_like_email(user: str) -> bool:
    """Whether an id is personal data in plain sight, which logs and exports then spread."""
    return "@" in user and _EMAIL.fullmatch(user) is not None


def decoded(header: str, *, name: str) -> str:
    """A header's text, which clients send as UTF-8 and servers read as Latin-1.

    Raises: InvalidRequestError.
    """
    if header.isascii():
        return header
    try:
        return header.encode("latin-1").decode()
    except UnicodeDecodeError:
        raise InvalidRequestError(f"The header {name} is not UTF-8.", param=name) from None
