"""Sealing of secrets at rest (AES-256-GCM) and keyed hashes of tokens.

A sealed value is bound to its context (associated data): tenant and origin for a provider key.
Another context, another key or a changed byte, and it does not open.
"""

import hashlib
import hmac
import os
from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

VERSION: Final = b"\x01"
NONCE_BYTES: Final = 12
KEY_BYTES: Final = 32
FINGERPRINT_BYTES: Final = 4


class SealError(Exception):
    """A sealed value does not open: wrong key, wrong context, or damaged."""


def fingerprint(key: bytes) -> bytes:
    """Names the key that sealed a value, so that keys can be rotated."""
    return hashlib.sha256(b"paywalls:key:" + key).digest()[:FINGERPRINT_BYTES]


def seal(plain: bytes, *, context: str, keys: Sequence[bytes]) -> bytes:
    """Version, key fingerprint, nonce and ciphertext; the first key seals."""
    key = keys[0]
    assert len(key) == KEY_BYTES, len(key)
    nonce = os.urandom(NONCE_BYTES)
    box = AESGCM(key).encrypt(nonce, plain, context.encode())
    return VERSION + fingerprint(key) + nonce + box


def unseal(sealed: bytes, *, context: str, keys: Sequence[bytes]) -> bytes:
    """The plain value.

    Raises: SealError.
    """
    head = len(VERSION) + FINGERPRINT_BYTES
    if sealed[: len(VERSION)] != VERSION or len(sealed) < head + NONCE_BYTES:
        raise SealError("not a sealed value")
    for key in keys:
        if fingerprint(key) == sealed[len(VERSION) : head]:
            nonce, box = sealed[head : head + NONCE_BYTES], sealed[head + NONCE_BYTES :]
            try:
                return AESGCM(key).decrypt(nonce, box, context.encode())
            except InvalidTag:
                raise SealError("sealed for another context, or damaged") from None
    raise SealError("sealed with a key that is no longer configured")


def resealed(sealed: bytes, *, context: str, keys: Sequence[bytes]) -> bytes:
    """The same under the first key; what is under it already stays as it is.

    Raises: SealError.
    """
    head = len(VERSION) + FINGERPRINT_BYTES
    if sealed[:head] == VERSION + fingerprint(keys[0]):
        return sealed
    return seal(unseal(sealed, context=context, keys=keys), context=context, keys=keys)


def keyed_hash(secret: str, *, pepper: bytes) -> bytes:
    """HMAC-SHA-256 of a token that has enough entropy of its own (no slow hash needed)."""
    return hmac.digest(pepper, secret.encode(), "sha256")
