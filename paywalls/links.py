"""Links of ours that need no login: unguessable, and kept nowhere.

Each names one thing and proves that we made it. The link in an assistant's message names an end
user and is the same each time; what stands behind it is decided on the click. A receipt's is good
for ever too; the one to a wallet's page for an hour, because it shows a balance.
"""

import base64
import datetime as dt
import hmac
from typing import Final
from uuid import UUID

from django.conf import settings
from django.utils.crypto import salted_hmac

from config.kit import clock

SALT: Final = "paywalls.links.checkout"
RECEIPT_SALT: Final = "paywalls.links.receipt"
AUTHORIZE_SALT: Final = "paywalls.links.authorize"
REVOKE_SALT: Final = "paywalls.links.revoke"
WALLET_SALT: Final = "paywalls.links.wallet"
PROOF_BYTES: Final = 10
TIME_BYTES: Final = 4
TOKEN_CHARS: Final = 42
"""Base32 of a UUID and its proof, without padding."""

WALLET_S: Final = 3_600


def checkout_url(user_id: UUID) -> str:
    """The address under which a user can do something about an empty wallet."""
    return f"{settings.BASE_URL}/v1/checkout/{checkout_token(user_id)}"


def checkout_token(user_id: UUID) -> str:
    """The end user's id with its proof, in characters that survive every renderer."""
    return _signed(SALT, user_id.bytes)


def read_checkout_token(token: str) -> UUID | None:
    """The end user of a link of ours; None for every other text."""
    found = _read(SALT, token)
    return UUID(bytes=found) if found and len(token) == TOKEN_CHARS else None


def authorize_url(user_id: UUID) -> str:
    """The address under which a person can let a Shared paywall's user spend, or change what."""
    return f"{settings.BASE_URL}/authorize/{_signed(AUTHORIZE_SALT, user_id.bytes)}"


def read_authorize_token(token: str) -> UUID | None:
    """The end user of a link of ours; None for every other text."""
    found = _read(AUTHORIZE_SALT, token)
    return UUID(bytes=found) if found and len(token) == TOKEN_CHARS else None


def revoke_url(grant_id: UUID) -> str:
    """The address in a mail under which an app can be stopped without a login."""
    return f"{settings.BASE_URL}/stop/{_signed(REVOKE_SALT, grant_id.bytes)}"


def read_revoke_token(token: str) -> UUID | None:
    """The grant of a link of ours; None for every other text."""
    found = _read(REVOKE_SALT, token)
    return UUID(bytes=found) if found and len(token) == TOKEN_CHARS else None


def receipt_url(transaction_id: UUID) -> str:
    """The address of a movement's receipt."""
    return f"{settings.BASE_URL}/receipt/{_signed(RECEIPT_SALT, transaction_id.bytes)}"


def read_receipt_token(token: str) -> UUID | None:
    """The movement of a link of ours; None for every other text."""
    found = _read(RECEIPT_SALT, token)
    return UUID(bytes=found) if found and len(token) == TOKEN_CHARS else None


def wallet_url(user_id: UUID) -> str:
    """The address of a user's balance and movements, from now on for WALLET_S."""
    until = int(clock.now().timestamp()) + WALLET_S
    subject = user_id.bytes + until.to_bytes(TIME_BYTES)
    return f"{settings.BASE_URL}/wallet/{_signed(WALLET_SALT, subject)}"


def read_wallet_token(token: str) -> tuple[UUID, dt.datetime] | None:
    """The end user of a link of ours and until when it is good; None for every other text."""
    found = _read(WALLET_SALT, token)
    if found is None or len(token) == TOKEN_CHARS:
        return None
    until = int.from_bytes(found[-TIME_BYTES:])
    return UUID(bytes=found[:-TIME_BYTES]), dt.datetime.fromtimestamp(until, dt.UTC)


def _signed(salt: str, subject: bytes) -> str:
    proof = salted_hmac(salt, subject, algorithm="sha256").digest()[:PROOF_BYTES]
    return base64.b32encode(subject + proof).decode().lower().rstrip("=")


def _read(salt: str, token: str) -> bytes | None:
    """What a token of this kind names; None where it is not one of ours."""
    if not token.isascii() or not token.isalnum():
        return None
    try:
        found = base64.b32decode(token.upper() + "=" * (-len(token) % 8))
    except ValueError:
        return None
    subject = found[:-PROOF_BYTES]
    # The whole text, because more than one decodes to the same bytes; only ours is accepted.
    return subject if hmac.compare_digest(_signed(salt, subject), token) else None
