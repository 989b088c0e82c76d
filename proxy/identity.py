"""Who the end user is: body, query, header or address, whichever is first present."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Final

from config.kit.errors import InvalidRequestError
from config.kit.limits import EXTERNAL_USER_CHARS_MAX
from proxy.errors import MissingUserError
from proxy.requests import Headers

HEADER: Final = "x-paywall-user"
WARNING_EMAIL: Final = "user-looks-like-email"

_PLAIN: Final = re.compile(rf"[!-~]{{1,{EXTERNAL_USER_CHARS_MAX}}}")
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
_UNSEEN: Final = frozenset("CZ")
"""First letters of the Unicode categories that show nothing: control, format, separators, …"""

_JOINER: Final = "\u200d"
_JOINED: Final = frozenset({"So", "Sk", "Mn"})
"""What stands on either side of the joiner in an emoji: symbol, skin tone, variation."""


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
    return checked(value)


def checked(value: object) -> str:
    """The id in Unicode's normal form C.

    Raises: InvalidRequestError.
    """
    if not isinstance(value, str):
        raise InvalidRequestError("`user` must be a string.", param="user")
    if _PLAIN.fullmatch(value):
        return value
    # Normalization is not linear in time for hostile text, so the length comes first.
    text = unicodedata.normalize("NFC", value) if len(value) <= EXTERNAL_USER_CHARS_MAX else ""
    if not 1 <= len(text) <= EXTERNAL_USER_CHARS_MAX or not _is_visible(text):
        raise InvalidRequestError(
            f"`user` must be 1 to {EXTERNAL_USER_CHARS_MAX} visible characters without spaces.",
            param="user",
        )
    return text


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


def _is_visible(text: str) -> bool:
    categories = [unicodedata.category(character) for character in text]
    for position, category in enumerate(categories):
        if category[0] in _UNSEEN and not (
            text[position] == _JOINER
            and 0 < position < len(text) - 1
            and categories[position - 1] in _JOINED
            and categories[position + 1] == "So"
        ):
            return False
    return True
