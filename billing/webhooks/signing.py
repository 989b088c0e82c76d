"""How a delivery proves where it comes from: two schemes over the same bytes. Pure.

`X-Paywalls-Signature` is the hex HMAC-SHA256 of the body under the secret as shown. The other three
headers are Standard Webhooks'. Source: github.com/standard-webhooks, spec 1.0.0.
"""

import base64
import binascii
import hmac
import secrets
from collections.abc import Sequence
from typing import Final

PREFIX: Final = "whsec_"
SECRET_BYTES: Final = 32
SECRET_CHARS_MIN: Final = 16
SECRET_CHARS_MAX: Final = 256
OURS: Final = frozenset(
    {
        "accept-encoding", "connection", "content-length", "content-type", "host",
        "transfer-encoding", "user-agent", "webhook-id", "webhook-signature", "webhook-timestamp",
        "x-paywalls-event", "x-paywalls-signature", "x-paywalls-signature-previous",
        "x-paywalls-timestamp",
    }
)  # fmt: skip
"""Headers that nobody else may set."""


def new_secret() -> str:
    """A secret of 256 bits in the form of Standard Webhooks."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def key_of(secret: str) -> bytes:
    """The key of Standard Webhooks: what `whsec_` spells in base64, else the secret's own bytes."""
    if secret.startswith(PREFIX):
        spelled = secret.removeprefix(PREFIX)
        try:
            key = base64.b64decode(spelled + "=" * (-len(spelled) % 4), validate=True)
        except binascii.Error:
            key = b""
        if key:
            return key
    return secret.encode()


def standard_secret(secret: str) -> str:
    """The same secret as libraries of Standard Webhooks want it.

    >>> standard_secret("0123456789abcdef")
    'whsec_MDEyMzQ1Njc4OWFiY2RlZg=='
    """
    return PREFIX + base64.b64encode(key_of(secret)).decode()


def headers(body: bytes, *, id_text: str, stamp: int, keys: Sequence[str]) -> dict[str, str]:
    """The headers of one attempt.

    id_text: stays the same over attempts. stamp: seconds, of this attempt. keys: the secret, and
    during a rotation the previous one too.
    """
    assert 1 <= len(keys) <= 2, "a secret, and at most one that is on its way out"
    assert all(keys), "an empty secret signs for everyone"
    head = {
        "X-Paywalls-Signature": hmac.digest(keys[0].encode(), body, "sha256").hex(),
        "X-Paywalls-Timestamp": str(stamp),
        "webhook-id": id_text,
        "webhook-timestamp": str(stamp),
        "webhook-signature": " ".join(_standard(key, body, id_text, stamp) for key in keys),
    }
    if len(keys) > 1:
        head["X-Paywalls-Signature-Previous"] = hmac.digest(keys[1].encode(), body, "sha256").hex()
    return head


def _standard(secret: str, body: bytes, id_text: str, stamp: int) -> str:
    signed = f"{id_text}.{stamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key_of(secret), signed, "sha256")).decode()
