"""API keys: who calls, and what a restricted key may do."""

import base64
import re
from typing import Final

from tests.fakes.stripe.errors import InvalidKeyError, PermissionMissingError
from tests.fakes.stripe.routes import Operation
from tests.fakes.stripe.world import ACCOUNT, Key, World

KEY = re.compile(r"(rk|sk)_(test|live)_[A-Za-z0-9]{8,}")
WITHOUT_PREFIX: Final = frozenset({"webhook"})
"""Permissions that the refusal names without `rak_`."""

PERMISSIONS: Final = (
    "balance_read",
    "charge_write",
    "checkout_session_write",
    "coupon_write",
    "customer_portal_write",
    "customer_write",
    "dispute_write",
    "event_read",
    "invoice_write",
    "payment_intent_write",
    "payment_method_write",
    "plan_write",
    "product_write",
    "promotion_code_write",
    "setup_intent_write",
    "subscription_write",
    "webhook_write",
)
"""All that a paywall may need; what a seeded restricted key has."""


def seeded(kind: str, mode: str) -> str:
    """A key that every new world knows, such as `rk_test_…`, on the default account."""
    return f"{kind}_{mode}_51" + "StandInForTheDemoAndTestsOnly"


def seed(world: World) -> None:
    for mode in ("test", "live"):
        for kind, permissions in (("rk", list(PERMISSIONS)), ("sk", None)):
            secret = seeded(kind, mode)
            world.keys.setdefault(secret, Key(secret, ACCOUNT, mode == "live", permissions))


def authenticate(world: World, authorization: str) -> Key:
    """The key of a `Bearer` or `Basic` header.

    Raises: InvalidKeyError
    """
    scheme, _, given = authorization.partition(" ")
    if scheme.lower() == "basic":
        given = base64.b64decode(given).decode().partition(":")[0]
    if not given:
        raise InvalidKeyError(
            "You did not provide an API key. You need to provide your API key in the Authorization"
            " header, using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY')."
        )
    key = world.keys.get(given)
    if key is None:
        raise InvalidKeyError(f"Invalid API Key provided: {masked(given)}")
    if key.is_revoked:
        raise InvalidKeyError(f"Expired API Key provided: {masked(given)}", code="api_key_expired")
    return key


def masked(secret: str) -> str:
    return f"{secret[:8]}{'*' * max(0, len(secret) - 12)}{secret[-4:]}"


def check_permission(key: Key, operation: Operation) -> None:
    """Reading wants read, anything else wants write; write implies read.

    Raises: PermissionMissingError, naming what is missing as Stripe does.
    """
    wanted = f"{operation.permission}_{'read' if operation.method == 'GET' else 'write'}"
    if key.permissions is None:
        return
    if {wanted, f"{operation.permission}_write"} & set(key.permissions):
        return
    name = wanted if operation.permission in WITHOUT_PREFIX else f"rak_{wanted}"
    raise PermissionMissingError(
        f"The provided key '{masked(key.secret)}' does not have the required permissions for this"
        f" endpoint on account '{key.account}'. Having the '{name}' permission would allow this"
        " request to continue."
    )
