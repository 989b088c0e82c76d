"""What every provider has in common: the OpenAI shape. A provider's file says where it differs."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final, Literal

import orjson

from config.kit import limits
from paywalls.pricing import COUNT_MAX, Usage
from providers.errors import (
    AccountError,
    BusyError,
    FailedError,
    LateError,
    ProviderError,
    RejectedError,
    scrub,
)
from providers.types import Policy

RETRY_AFTER_S_MAX = 3_600
ERROR_BYTES_MAX = limits.JSON_BODY_BYTES_MAX
UNEXPLAINED = "The provider refuses the request without saying why."


class UsageError(ValueError):
    """A provider reports usage that cannot be true."""


SIMPLE: Final = frozenset({"prompt_tokens", "completion_tokens", "total_tokens"})


class Adapter:
    """A kind of provider. No state, no network.

    output_limit_field: what a limit is called when the caller gave none. needs_key: whether a
    connection without a key can work at all. hides_reasoning: whether it may count thinking in the
    completion without saying how much. probe_path: what a GET tells a good key from a bad one with.
    """

    kind: ClassVar[str]
    default_base_url: ClassVar[str] = ""
    needs_key: ClassVar[bool] = True
    hides_reasoning: ClassVar[bool] = False
    probe_path: ClassVar[str] = "/models"
    policy: ClassVar[Policy] = Policy()
    output_limit_field: ClassVar[Literal["max_tokens", "max_completion_tokens"]] = "max_tokens"

    def auth(self, key: str) -> bytes:
        """Header lines with the credential."""
        return f"Authorization: Bearer {key}\r\n".encode("ascii") if key else b""

    def probe_headers(self, key: str) -> dict[str, str]:
        """Headers for GET /models, which some providers want in another form."""
        return {"Authorization": f"Bearer {key}"} if key else {}

    def body(
        self, request: Mapping[str, Any], *, model: str, stream: bool, user: str
    ) -> dict[str, Any]:
        """What goes upstream.

        request: the caller's, already checked, its output limit clamped. user: a pseudonym, which
        takes the place of whatever the caller said about the person.
        """
        body = {**request, "model": model, "user": user}
        if "safety_identifier" in body:
            body["safety_identifier"] = user
        if stream:
            body["stream"] = True
            options = request.get("stream_options")
            given = options if isinstance(options, dict) else {}
            body["stream_options"] = {**given, "include_usage": True}
        return body

    def usage(self, payload: Mapping[str, Any]) -> Usage | None:
        """The usage in an answer or a chunk of one; None when it is not reported.

        Raises: ValueError when what is reported cannot be true.
        """
        reported = payload.get("usage")
        if reported is None or reported == {}:
            return None
        if not isinstance(reported, dict):
            raise UsageError("usage is not an object")
        if (
            reported.keys() <= SIMPLE
        ):  # Nothing to interpret, and nearly all that small servers say.
            return _simple(reported)
        return self.read_usage(reported)

    def read_usage(self, reported: Mapping[str, Any]) -> Usage | None:
        """A usage object of OpenAI's form: cached is in prompt, reasoning is in completion.

        Source: https://platform.openai.com/docs/api-reference/chat/object (November 2026).
        """
        prompt, completion = (
            count_or_none(reported, name) for name in ("prompt_tokens", "completion_tokens")
        )
        if prompt is None and completion is None:
            return None
        of_prompt = details(reported, "prompt_tokens_details")
        of_completion = details(reported, "completion_tokens_details")
        return checked(
            prompt=prompt or 0,
            completion=completion or 0,
            cached=count(of_prompt, "cached_tokens"),
            cache_write=count(of_prompt, "cache_write_tokens"),
            audio_prompt=count(of_prompt, "audio_tokens"),
            reasoning=count(of_completion, "reasoning_tokens"),
            audio_completion=count(of_completion, "audio_tokens"),
        )

    def cost_nanos(self, payload: Mapping[str, Any]) -> int | None:
        """What the provider says it charged, in nanos of a dollar; None: it does not say."""
        del payload
        return None

    def error(self, status: int, headers: Mapping[bytes, bytes], body: bytes) -> ProviderError:
        """What an answer with a status of 300 or more means for the caller. Scrubbed."""
        said = _said(body)
        if status in (401, 402, 403):
            return AccountError(_trouble(status, said))
        if status == 429:
            return BusyError(
                "The provider is at its limit; try again later.", retry_after_s=_wait_s(headers)
            )
        if status in (408, 504):
            return LateError("The provider did not finish in time.")
        if 400 <= status < 500 and status not in (407, 409, 425):
            return RejectedError(
                said.get("message") or UNEXPLAINED,
                status=status,
                code=said.get("code"),
                param=said.get("param"),
            )
        return FailedError(
            f"The provider failed (status {status}).", retry_after_s=_wait_s(headers)
        )


def _simple(reported: Mapping[str, Any]) -> Usage | None:
    prompt = count_or_none(reported, "prompt_tokens")
    completion = count_or_none(reported, "completion_tokens")
    if prompt is None and completion is None:
        return None
    return Usage(prompt=prompt or 0, completion=completion or 0)


def checked(**counts: int) -> Usage:
    """Usage whose parts fit into their wholes.

    Raises: ValueError.
    """
    in_prompt = sum(counts.get(name, 0) for name in ("cached", "cache_write", "audio_prompt"))
    in_completion = sum(counts.get(name, 0) for name in ("reasoning", "audio_completion"))
    if in_prompt > counts["prompt"] or in_completion > counts["completion"]:
        raise UsageError("usage: a part is larger than its whole")
    return Usage(**counts)


def count_or_none(reported: Mapping[str, Any], name: str) -> int | None:
    """A count, or None when it is missing or null. Null is not zero.

    Raises: ValueError when it is no whole number from 0 to COUNT_MAX.
    """
    value = reported.get(name)
    if value is None:
        return None
    if type(value) is not int or not 0 <= value <= COUNT_MAX:
        raise UsageError(f"usage: {name} is not a count")
    return value


def count(reported: Mapping[str, Any], name: str) -> int:
    """A part that may be left out."""
    return count_or_none(reported, name) or 0


def details(reported: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """An object that may be left out.

    Raises: ValueError when it is something else.
    """
    value = reported.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UsageError(f"usage: {name} is not an object")
    return value


def one_output_limit(body: dict[str, Any], name: str) -> None:
    """Say the output limit once, under `name`, the smaller one if it was said twice."""
    given = [
        value
        for field in ("max_tokens", "max_completion_tokens")
        if (value := body.pop(field, None)) is not None
    ]
    if given:
        body[name] = min(given)


def error_object(body: bytes) -> Mapping[str, Any]:
    """The error object of an answer, in any of the usual forms; empty when there is none."""
    if len(body) > ERROR_BYTES_MAX:
        return {}
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    if isinstance(parsed, list) and parsed:  # Google wraps it in a list
        parsed = parsed[0]
    if not isinstance(parsed, dict):
        return {}
    error = parsed.get("error", parsed)
    if isinstance(error, str):
        return {"message": error}
    return error if isinstance(error, dict) else {}


def _said(body: bytes) -> dict[str, str]:
    error = error_object(body)
    message = error.get("message") or error.get("detail")
    said = {"message": message, "code": error.get("code"), "param": error.get("param")}
    return {name: scrub(value) for name, value in said.items() if isinstance(value, str) and value}


def _trouble(status: int, said: Mapping[str, str]) -> str:
    return f"{status}: {said.get('message', 'no explanation')}"[:200]


def _wait_s(headers: Mapping[bytes, bytes]) -> int | None:
    """Retry-After in seconds, bounded. A date is not understood: then nothing is said."""
    value = headers.get(b"retry-after", b"").strip()
    return min(int(value), RETRY_AFTER_S_MAX) if value.isdigit() and len(value) < 9 else None
