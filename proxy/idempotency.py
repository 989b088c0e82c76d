"""Idempotency-Key: which earlier call this one repeats, and whether it asks for the same."""

import hashlib
import re
from collections.abc import Mapping
from typing import Final

import orjson

from config.kit.errors import InvalidRequestError
from config.kit.limits import IDEMPOTENCY_KEY_CHARS_MAX
from proxy.requests import Headers, IdempotencyKey

HEADER: Final = "idempotency-key"
WARNING_MISSING: Final = "idempotency-key-missing"

_FORM: Final = re.compile(rf"[!-~]{{1,{IDEMPOTENCY_KEY_CHARS_MAX}}}")


def header_key(headers: Headers, *, is_required: bool) -> str | None:
    """The key as it was sent, or None.

    Raises: InvalidRequestError when it is malformed, or missing where the paywall key requires it.
    """
    key = headers.get(HEADER)
    if key is None:
        if is_required:
            raise InvalidRequestError(
                "This paywall key requires the header Idempotency-Key on calls that cost money:"
                " send a new value for each one, and the same value when you repeat it.",
                param="Idempotency-Key",
            )
        return None
    if not _FORM.fullmatch(key):
        raise InvalidRequestError(
            f"Idempotency-Key must be 1 to {IDEMPOTENCY_KEY_CHARS_MAX} visible ASCII characters.",
            param="Idempotency-Key",
        )
    return key


def identify(
    key: str, *, endpoint: str, livemode: bool, user: str, body: Mapping[str, object]
) -> IdempotencyKey:
    """What the ledger compares. Order of fields and white space do not matter.

    endpoint: method and route. The user counts as part of what is asked, however it was sent.
    """
    mode = "live" if livemode else "test"
    asked = orjson.dumps([endpoint, user, body], option=orjson.OPT_SORT_KEYS)
    return IdempotencyKey(
        digest=hashlib.sha256(f"{mode}\0{endpoint}\0{key}".encode()).digest(),
        fingerprint=hashlib.sha256(asked).digest(),
    )
