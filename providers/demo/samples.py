"""A small value that fits a simple JSON schema: for tools and structured output of the demo."""

from collections.abc import Mapping
from typing import Any, Final

DEPTH_MAX: Final = 8
ITEMS_MAX: Final = 20


def sample(schema: Mapping[str, Any], text: str) -> Any:
    """A value of the schema's type; strings echo `text`.

    >>> sample({"type": "object", "properties": {"city": {"type": "string"}}}, "Oslo")
    {'city': 'Oslo'}
    """
    return _sample(schema, text, schema, 0)


def _sample(schema: Any, text: str, root: Mapping[str, Any], depth: int) -> Any:
    if not isinstance(schema, dict) or depth > DEPTH_MAX:
        return None
    fixed = [schema[name] for name in ("const", "default") if name in schema]
    if fixed or schema.get("enum"):
        return (fixed or schema["enum"])[0]
    inner = _inner(schema, root)
    if inner is not None:
        return _sample(inner, text, root, depth + 1)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = kind[0] if isinstance(kind, list) and kind else kind
    if kind == "object":
        properties = schema.get("properties") or {}
        return {name: _sample(of, text, root, depth + 1) for name, of in properties.items()}
    if kind == "array":
        size = min(max(1, int(schema.get("minItems", 1))), ITEMS_MAX)
        return [_sample(schema.get("items"), text, root, depth + 1) for _ in range(size)]
    return _scalar(kind, schema, text)


def _inner(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Any:
    """The schema that this one only points at, if it does."""
    if isinstance(schema.get("$ref"), str):
        return _referred(schema["$ref"], root)
    choices = [schema[name] for name in ("anyOf", "oneOf", "allOf") if schema.get(name)]
    return choices[0][0] if choices else None


def _scalar(kind: str, schema: Mapping[str, Any], text: str) -> Any:
    if kind in ("integer", "number"):
        return schema.get("minimum", 1)
    if kind == "boolean":
        return True
    if kind == "null":
        return None
    most = schema.get("maxLength", 200)
    return text[:most].ljust(schema.get("minLength", 0), ".")


def _referred(reference: str, root: Mapping[str, Any]) -> Any:
    found: Any = root
    for name in reference.removeprefix("#").strip("/").split("/"):
        found = found.get(name) if isinstance(found, dict) else None
    return root if reference == "#" else found
