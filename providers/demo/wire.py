"""The OpenAI shapes that the demo provider sends."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from providers.demo.answers import Answer, Choice, words
from providers.demo.models import CONTEXT_TOKENS, MODELS


@dataclass(frozen=True, slots=True)
class Head:
    """What every object of one answer repeats."""

    id: str
    created: int
    model: str


def completion(answer: Answer, head: Head) -> dict[str, Any]:
    """A whole chat completion."""
    body: dict[str, Any] = {
        "id": head.id,
        "object": "chat.completion",
        "created": head.created,
        "model": head.model,
        "choices": [
            {
                "index": index,
                "message": _message(choice),
                "logprobs": None,
                "finish_reason": choice.finish_reason,
            }
            for index, choice in enumerate(answer.choices)
        ],
    }
    if answer.model != "echo-1-no-usage":
        body["usage"] = answer.usage
    return body


def events(answer: Answer, head: Head, *, usage: bool) -> Iterator[bytes]:
    """The same as server-sent events, one word each, ending in `[DONE]`."""
    shared = {
        "id": head.id,
        "object": "chat.completion.chunk",
        "created": head.created,
        "model": head.model,
    }
    for index, choice in enumerate(answer.choices):
        for delta in _deltas(choice):
            yield _event(shared, [{"index": index, "delta": delta, "finish_reason": None}])
        end = {"index": index, "delta": {}, "finish_reason": choice.finish_reason}
        yield _event(shared, [end])
    if usage:
        yield _event({**shared, "usage": answer.usage}, [])
    yield b"data: [DONE]\n\n"


def model_list(created: int) -> dict[str, Any]:
    """GET /v1/models."""
    return {
        "object": "list",
        "data": [
            {
                "id": model.name,
                "object": "model",
                "created": created,
                "owned_by": "demo",
                "description": model.description,
                "context_length": CONTEXT_TOKENS,
            }
            for model in MODELS.values()
        ],
    }


def error(message: str, *, code: str | None = None) -> dict[str, Any]:
    """An error object."""
    return {
        "error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    }


def _message(choice: Choice) -> dict[str, Any]:
    if choice.is_tool_call:
        return {
            "role": "assistant",
            "content": None,
            "tool_calls": [_call(choice, choice.text)],
        }
    return {"role": "assistant", "content": choice.text, "refusal": None}


def _deltas(choice: Choice) -> Iterator[dict[str, Any]]:
    if not choice.is_tool_call:
        yield {"role": "assistant", "content": ""}
        yield from ({"content": word} for word in words(choice.text))
        return
    yield {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"index": 0, **_call(choice, "")}],
    }
    for word in words(choice.text):
        yield {"tool_calls": [{"index": 0, "function": {"arguments": word}}]}


def _call(choice: Choice, arguments: str) -> dict[str, Any]:
    return {
        "id": f"call_demo_{choice.tool_name}",
        "type": "function",
        "function": {"name": choice.tool_name, "arguments": arguments},
    }


def _event(shared: dict[str, Any], choices: list[dict[str, Any]]) -> bytes:
    return b"data: " + orjson.dumps({**shared, "choices": choices}) + b"\n\n"
