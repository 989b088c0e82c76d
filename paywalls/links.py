"""The link in an assistant's message: unguessable, the same each time, kept nowhere.

It names an end user and proves that we made it; what stands behind it is decided on the click.
"""

import base64
import hmac
from typing import Final
from uuid import UUID

from django.conf import settings
from django.utils.crypto import salted_hmac

SALT: Final = "paywalls.links.checkout"
PROOF_BYTES: Final = 10
TOKEN_CHARS: Final = 42
"""Base32 of a UUID and its proof, without padding."""


def checkout_url(user_id: UUID) -> str:
    """The address under which a user can do something about an empty wallet."""
    return f"{settings.BASE_URL}/v1/checkout/{checkout_token(user_id)}"


def checkout_token(user_id: UUID) -> str:
    """The end user's id with its proof, in characters that survive every renderer."""
    text = base64.b32encode(user_id.bytes + _proof(user_id)).decode().lower()
    return text.rstrip("=")


def read_checkout_token(token: str) -> UUID | None:
    """The end user of a link of ours; None for every other text."""
    if len(token) != TOKEN_CHARS or not token.isascii() or not token.isalnum():
        return None
    try:
        # 26 bytes are 41.6 characters: the padding is always the same.
        found = base64.b32decode(token.upper() + "======")
    except ValueError:
        return None
    user_id, proof = UUID(bytes=found[:16]), found[16:]
    # More than one text decodes to the same bytes; only ours is accepted.
    is_ours = hmac.compare_digest(proof, _proof(user_id)) and checkout_token(user_id) == token
    return user_id if is_ours else None


def _proof(user_id: UUID) -> bytes:
    return salted_hmac(SALT, user_id.bytes, algorithm="sha256").digest()[:PROOF_BYTES]
