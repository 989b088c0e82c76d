"""Metadata, merged as Stripe does: an empty value takes a name out, an empty text all of them."""

from typing import Any


def merged(kept: dict[str, str] | None, given: dict[str, str] | str | None) -> dict[str, str]:
    if given == "":
        return {}
    changed = {**(kept or {}), **(given or {})} if not isinstance(given, str) else {}
    return {name: value for name, value in changed.items() if value != ""}


def nulls(names: str) -> dict[str, Any]:
    """Attributes that are there and null."""
    return dict.fromkeys(names.split())
