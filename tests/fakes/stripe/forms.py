"""What clients send: form fields with names such as `line_items[0][price_data][currency]`."""

import re
from typing import Any
from urllib.parse import parse_qsl

from tests.fakes.stripe.errors import ApiError

PARTS = re.compile(r"\[([^\[\]]*)\]")


def parse_form(text: str) -> dict[str, Any]:
    """Nested dictionaries and lists of strings.

    Raises: ApiError when one name is used as two kinds of thing.
    """
    root: dict[str, Any] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        head, *_ = name.partition("[")
        _put(root, [head, *PARTS.findall(name)], value)
    return {name: _with_lists(value) for name, value in root.items()}


def _put(target: dict[str, Any], path: list[str], value: str) -> None:
    for part in path[:-1]:
        target = target.setdefault(_index(target, part), {})
        if not isinstance(target, dict):
            raise ApiError(f"Invalid parameter encoding at {part}.")
    target[_index(target, path[-1])] = value


def _index(target: dict[str, Any], part: str) -> str:
    """`[]` means the next one."""
    return part or str(len(target))


def _with_lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if value and all(key.isdigit() for key in value):
        return [_with_lists(value[key]) for key in sorted(value, key=int)]
    return {key: _with_lists(inner) for key, inner in value.items()}
