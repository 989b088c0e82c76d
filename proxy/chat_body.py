"""The body of a chat: what we must understand of it, and what we refuse. The rest passes."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from config.kit.errors import InvalidRequestError
from config.kit.limits import CHOICES_MAX, JSON_DEPTH_MAX, MESSAGES_MAX, MODEL_CHARS_MAX

DESTINATION_FIELDS: Final = frozenset(
    {
        "api_base",
        "api_key",
        "base_url",
        "custom_llm_provider",
        "extra_headers",
        "fallbacks",
    }
)
"""Fields that choose a destination or a credential in some gateway or client library."""

OTHER_MODELS: Final = ("models", "route")
"""Fields that name further models, which nobody has allowed or priced.
Source: https://openrouter.ai/docs/guides/routing/model-fallbacks (November 2026)."""

CARRIERS: Final = ("metadata", "extra_body")
"""Fields in which a destination could hide, at any depth."""

_JSON_FORMATS: Final = frozenset({"json_object", "json_schema"})
_IMAGE_ADDRESS: Final = re.compile(r"(?:https?://|data:)", re.IGNORECASE)


@dataclass(slots=True, kw_only=True)
class Chat:
    """What we understand of a chat.

    max_tokens: the smaller of the two fields that say it; None where neither does.
    choices: how many answers, `n`. drafts: how many the provider writes for them (`best_of`).
    json_answer: the answer must parse as JSON.
    """

    model: str
    stream: bool
    include_usage: bool
    max_tokens: int | None
    choices: int
    drafts: int
    json_answer: bool


def read(body: Mapping[str, object]) -> Chat:
    """Understand a chat.

    Raises: InvalidRequestError naming the field.
    """
    _refuse_destinations(body)
    _check_messages(body.get("messages"))
    if not isinstance(body.get("tools"), list | None):
        raise InvalidRequestError("`tools` must be a list.", param="tools")
    stream = _flag(body, "stream")
    limits = [_count(body, name) for name in ("max_tokens", "max_completion_tokens")]
    choices = _count(body, "n", most=CHOICES_MAX) or 1
    return Chat(
        model=_model(body.get("model")),
        stream=stream,
        include_usage=stream and _include_usage(body.get("stream_options")),
        max_tokens=min((limit for limit in limits if limit is not None), default=None),
        choices=choices,
        drafts=max(choices, _count(body, "best_of", most=CHOICES_MAX) or 1),
        json_answer=_wants_json(body.get("response_format")),
    )


def _refuse_destinations(body: Mapping[str, object]) -> None:
    found = _destination(body) or next((name for name in OTHER_MODELS if name in body), None)
    for carrier in CARRIERS:
        if found is None and (carried := body.get(carrier)) is not None:
            found = _hidden_destination(carried, carrier, depth=0)
    if found is not None:
        raise InvalidRequestError(
            f"`{found}` is not accepted: where a request goes, with which key, and which models may"
            " take another's place is set on the paywall. Remove the field.",
            param=found,
        )


def _destination(fields: Mapping[str, object]) -> str | None:
    if DESTINATION_FIELDS.isdisjoint(fields):
        return None
    return min(DESTINATION_FIELDS.intersection(fields))


def _hidden_destination(value: object, path: str, *, depth: int) -> str | None:
    if depth > JSON_DEPTH_MAX:
        raise InvalidRequestError(f"`{path}` is nested too deeply.", param=path)
    inner: Iterable[tuple[str, object]] = ()
    if isinstance(value, dict):
        name = _destination(value)
        if name is not None:
            return f"{path}.{name}"
        inner = ((f"{path}.{key}", item) for key, item in value.items())
    elif isinstance(value, list):
        inner = ((path, item) for item in value)
    for inner_path, item in inner:
        found = _hidden_destination(item, inner_path, depth=depth + 1)
        if found is not None:
            return found
    return None


def _model(value: object) -> str:
    if not isinstance(value, str) or not value or len(value) > MODEL_CHARS_MAX:
        raise InvalidRequestError(
            f"`model` must be the id of a model, 1 to {MODEL_CHARS_MAX} characters long."
            " `GET /v1/models` lists them.",
            param="model",
        )
    return value


def _flag(body: Mapping[str, object], name: str, *, parent: str = "") -> bool:
    value = body.get(name)
    if value is None or isinstance(value, bool):
        return bool(value)
    path = f"{parent}{name}"
    raise InvalidRequestError(f"`{path}` must be true or false.", param=path)


def _count(body: Mapping[str, object], name: str, *, most: int = 2**53) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    # A bool is an int in Python, and 1.0 is no count either.
    if type(value) is not int or not 1 <= value <= most:
        raise InvalidRequestError(f"`{name}` must be a whole number, 1 to {most}.", param=name)
    return value


def _include_usage(options: object) -> bool:
    if options is None:
        return False
    if not isinstance(options, dict):
        raise InvalidRequestError("`stream_options` must be an object.", param="stream_options")
    return _flag(options, "include_usage", parent="stream_options.")


def _wants_json(response_format: object) -> bool:
    if not isinstance(response_format, dict):
        return False
    kind = response_format.get("type")
    return isinstance(kind, str) and kind in _JSON_FORMATS


def _check_messages(messages: object) -> None:
    if not isinstance(messages, list) or not 1 <= len(messages) <= MESSAGES_MAX:
        raise InvalidRequestError(
            f"`messages` must be a list of 1 to {MESSAGES_MAX} messages.", param="messages"
        )
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            path = f"messages[{index}]"
            raise InvalidRequestError(f"`{path}` must be an object with a `role`.", param=path)
        content = message.get("content")
        if content is not None and not isinstance(content, str):
            _check_parts(content, f"messages[{index}].content")


def _check_parts(content: object, path: str) -> None:
    if not isinstance(content, list):
        raise InvalidRequestError(f"`{path}` must be text or a list of parts.", param=path)
    for index, part in enumerate(content):
        place = f"{path}[{index}]"
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            raise InvalidRequestError(f"`{place}` must be an object with a `type`.", param=place)
        if "image_url" in part:
            _check_image(part["image_url"], f"{place}.image_url")


def _check_image(image: object, path: str) -> None:
    """The provider fetches images, not we; but nobody shall be made to read files."""
    address = image.get("url") if isinstance(image, dict) else image
    if not isinstance(address, str) or not _IMAGE_ADDRESS.match(address):
        raise InvalidRequestError(
            f"`{path}` must hold an http(s) address or a data: URL.", param=path
        )
