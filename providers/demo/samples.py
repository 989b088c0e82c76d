"""A small value that fits a simple JSON schema: for tools and structured output of the demo."""

from collections.abc import Mapping
from typing import Any, Final

DEPTH_MAX: Final = 8
ITEMS_MAX: Final = 20
VALUES_MAX: Final = 1_000
CHARS_MAX: Final = 200


def sample(schema: Mapping[str, Any], text: str) -> Any:
    """A value of the schema's type; strings echo `text`.

    >>> sample({"type": "object", "properties": {"city": {"type": "string"}}}, "Oslo")
    {'city': 'Oslo'}
    """
    return _Sampler(schema, text).value(schema, 0)


class _Sampler:
    """Bounded in depth and in values, because schemas can refer to themselves."""

    def __init__(self, root: Mapping[str, Any], text: str) -> None:
        self._root = root
        self._text = text
        self._left = VALUES_MAX

    def value(self, schema: Any, depth: int) -> Any:
        self._left -= 1
        if not isinstance(schema, dict) or depth > DEPTH_MAX or self._left < 0:
            return None
        fixed = [schema[name] for name in ("const", "default") if name in schema]
        if fixed or _list(schema, "enum"):
            return (fixed or schema["enum"])[0]
        inner = self._inner(schema)
        return self.value(inner, depth + 1) if inner is not None else self._own(schema, depth)

    def _inner(self, schema: Mapping[str, Any]) -> Any:
        """The schema that this one only points at, if it does."""
        if isinstance(schema.get("$ref"), str):
            return self._referred(schema["$ref"])
        choices = [_list(schema, name) for name in ("anyOf", "oneOf", "allOf")]
        return next((choice[0] for choice in choices if choice), None)

    def _own(self, schema: Mapping[str, Any], depth: int) -> Any:
        kinds = _list(schema, "type") or [schema.get("type")]
        properties = schema.get("properties")
        match kinds[0] or ("object" if properties else "string"):
            case "object":
                known = properties if isinstance(properties, dict) else {}
                return {name: self.value(of, depth + 1) for name, of in known.items()}
            case "array":
                count = _whole(schema, "minItems", 1, ITEMS_MAX)
                return [self.value(schema.get("items"), depth + 1) for _ in range(max(1, count))]
            case "integer" | "number":
                least = schema.get("minimum")
                return least if type(least) in (int, float) else 1
            case "boolean":
                return True
            case "null":
                return None
        longest = _whole(schema, "maxLength", CHARS_MAX, CHARS_MAX)
        return self._text[:longest].ljust(_whole(schema, "minLength", 0, CHARS_MAX), ".")

    def _referred(self, reference: str) -> Any:
        found: Any = self._root
        for name in reference.removeprefix("#").strip("/").split("/"):
            if name:
                found = found.get(name) if isinstance(found, dict) else None
        return found


def _list(schema: Mapping[str, Any], name: str) -> list[Any]:
    value = schema.get(name)
    return value if isinstance(value, list) else []


def _whole(schema: Mapping[str, Any], name: str, default: int, most: int) -> int:
    value = schema.get(name)
    return min(value, most) if type(value) is int and value >= 0 else default
