"""What the demo model says: pure, the same for the same request."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from providers import tokens
from providers.demo.models import OUTPUT_TOKENS_DEFAULT, OUTPUT_TOKENS_MAX
from providers.demo.samples import sample

REASONING_TOKENS: Final = 48
OVERRUN_TIMES: Final = 12
QUOTE_CHARS: Final = 2_000
_ASKS_FOR_TOOL: Final = re.compile(r"\b(?:tool|function)s?\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One of the `n` answers: a text, or a call of a tool."""

    text: str
    finish_reason: str
    tool_name: str = ""

    @property
    def is_tool_call(self) -> bool:
        return bool(self.tool_name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """All choices, and the usage block that belongs to them."""

    model: str
    choices: tuple[Choice, ...]
    usage: Mapping[str, Any]


def answer(request: Mapping[str, Any]) -> Answer:
    """The answer to a chat request: echoes, honours limits, stop, tools and formats."""
    model = str(request["model"])
    prompt_tokens = tokens.count_prompt(request, model)
    limit = _output_limit(request)
    reasoning = min(REASONING_TOKENS, limit) if model.endswith("-reasoning") else 0
    count = request.get("n") or 1
    choices = []
    for index in range(count):
        whole = _choice(request, prompt_tokens, index)
        choices.append(_limited(whole, request, limit - reasoning))
    completion = sum(
        tokens.count_tokens(choice.tool_name + choice.text, model) + reasoning for choice in choices
    )
    return Answer(
        model=model,
        choices=tuple(choices),
        usage={
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion,
            "total_tokens": prompt_tokens + completion,
            "prompt_tokens_details": {
                "cached_tokens": prompt_tokens // 2 if model.endswith("-cached") else 0,
                "audio_tokens": 0,
            },
            "completion_tokens_details": {
                "reasoning_tokens": reasoning * len(choices),
                "audio_tokens": 0,
            },
        },
    )


def words(text: str) -> list[str]:
    """The text in pieces of one word each, which join to it again.

    >>> words("a  b\\n")
    ['a', '  b', '\\n']
    """
    return re.findall(r"\s*\S+|\s+", text)


def _choice(request: Mapping[str, Any], prompt_tokens: int, index: int) -> Choice:
    last = _last_message(request)
    tool = _wanted_tool(request, last)
    if tool is not None:
        function = tool["function"]
        arguments = sample(function.get("parameters") or {"type": "object"}, _text(last))
        return Choice(
            text=orjson.dumps(arguments).decode(),
            finish_reason="tool_calls",
            tool_name=str(function.get("name", "tool")),
        )
    wanted = request.get("response_format") or {}
    if wanted.get("type") == "json_schema":
        format_ = wanted.get("json_schema")
        schema = format_.get("schema") if isinstance(format_, dict) else None
        value = sample(schema or {"type": "object"}, _text(last))
        return Choice(text=orjson.dumps(value).decode(), finish_reason="stop")
    if wanted.get("type") == "json_object":
        fields = {"model": request["model"], "echo": _quote(last), "prompt_tokens": prompt_tokens}
        return Choice(text=orjson.dumps(fields).decode(), finish_reason="stop")
    return Choice(text=_prose(request, last, prompt_tokens, index), finish_reason="stop")


def _prose(
    request: Mapping[str, Any], last: Mapping[str, Any], prompt_tokens: int, index: int
) -> str:
    seen = tokens.media(request)
    parts = [
        f"The tool answered: “{_quote(last)}”."
        if last.get("role") == "tool"
        else f"You said: “{_quote(last)}”.",
        f"I am {request['model']}, the demo model of Paywalls: nothing left this machine.",
        f"I read {prompt_tokens} tokens of prompt;"
        " the paywall held the most that this answer could cost before I began,"
        " and charges what these words really cost when I stop.",
    ]
    if seen.images:
        parts.insert(1, f"I was shown {seen.images} image(s), which I cannot see.")
    if index:
        parts.append(f"(This is answer {index + 1}.)")
    text = " ".join(parts)
    return " ".join([text] * OVERRUN_TIMES) if str(request["model"]).endswith("-overrun") else text


def _limited(choice: Choice, request: Mapping[str, Any], limit: int) -> Choice:
    text = choice.text
    if choice.is_tool_call:
        return choice
    stops = request.get("stop") or []
    for stop in [stops] if isinstance(stops, str) else stops:
        text = text.partition(stop)[0] if stop else text
    clipped = tokens.clip(text, limit, str(request["model"]))
    reason = "stop" if clipped == text else "length"
    return Choice(text=clipped, finish_reason=reason)


def _output_limit(request: Mapping[str, Any]) -> int:
    if str(request["model"]).endswith("-overrun"):
        return OUTPUT_TOKENS_MAX
    asked = request.get("max_completion_tokens")
    if asked is None:
        asked = request.get("max_tokens")
    return min(OUTPUT_TOKENS_DEFAULT if asked is None else int(asked), OUTPUT_TOKENS_MAX)


def _wanted_tool(request: Mapping[str, Any], last: Mapping[str, Any]) -> dict[str, Any] | None:
    """The tool to call: the one that is chosen or named, else the first if one is asked for."""
    tools: list[dict[str, Any]] = request.get("tools") or []
    choice = request.get("tool_choice")
    if not tools or choice == "none" or last.get("role") == "tool":
        return None
    said = _text(last)
    if isinstance(choice, dict) and isinstance(choice.get("function"), dict):
        said = str(choice["function"].get("name"))
    named = [tool for tool in tools if str(tool["function"].get("name")) in said]
    is_asked = choice == "required" or isinstance(choice, dict) or _ASKS_FOR_TOOL.search(said)
    return next(iter(named), tools[0] if is_asked else None)


def _last_message(request: Mapping[str, Any]) -> Mapping[str, Any]:
    asked = [each for each in request["messages"] if each.get("role") in ("user", "tool")]
    return asked[-1] if asked else {}


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return " ".join(
            str(part.get("text", ""))
            for part in content
            if isinstance(part, dict) and "text" in part
        )
    return content if isinstance(content, str) else ""


def _quote(message: Mapping[str, Any]) -> str:
    text = _text(message).strip()
    return text if len(text) <= QUOTE_CHARS else text[:QUOTE_CHARS] + "…"
