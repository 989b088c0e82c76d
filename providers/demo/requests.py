"""Which chat requests the demo understands."""

from typing import Any, Final

import orjson

from config.kit import limits

NAMES_OF_OBJECTS: Final = ("response_format", "stream_options")


def read(body: bytes | None) -> dict[str, Any] | None:
    """The chat request, if it has the form that the demo relies on; it does not judge the rest."""
    try:
        request = orjson.loads(body or b"")
    except orjson.JSONDecodeError:
        return None
    fits = isinstance(request, dict) and _has_core(request) and _has_options(request)
    return request if fits else None


def _has_core(request: dict[str, Any]) -> bool:
    messages = request.get("messages")
    return (
        isinstance(request.get("model"), str)
        and isinstance(messages, list)
        and bool(messages)
        and all(isinstance(message, dict) for message in messages)
    )


def _has_options(request: dict[str, Any]) -> bool:
    tools, stop = request.get("tools") or [], request.get("stop") or []
    counts = ("n", "max_tokens", "max_completion_tokens")
    return (
        all(request.get(name) is None or _is_count(request[name]) for name in counts)
        and (request.get("n") or 1) <= limits.CHOICES_MAX
        and all(isinstance(request.get(name) or {}, dict) for name in NAMES_OF_OBJECTS)
        and isinstance(tools, list)
        and all(_is_tool(tool) for tool in tools)
        and isinstance(stop, str | list)
        and all(isinstance(each, str) for each in stop)
    )


def _is_tool(tool: object) -> bool:
    return isinstance(tool, dict) and isinstance(tool.get("function"), dict)


def _is_count(value: object) -> bool:
    return type(value) is int and value > 0
