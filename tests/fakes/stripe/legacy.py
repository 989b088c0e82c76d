"""Parameters of older versions, for clients that name no version: the official CLI is one."""

from typing import Any

SINCE_ELSEWHERE = ("payment_method_types", "source")
"""Newer versions choose these otherwise, and nothing here depends on them."""


def modern(given: dict[str, Any], path: str) -> dict[str, Any]:
    """The same request in the version that this stand-in speaks."""
    kept = {name: value for name, value in given.items() if name not in SINCE_ELSEWHERE}
    if path == "/v1/promotion_codes" and "coupon" in kept:
        kept["promotion"] = {"type": "coupon", "coupon": kept.pop("coupon")}
    return kept
