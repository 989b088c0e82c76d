"""OpenAI."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from providers.adapters import base
from providers.errors import AccountError, ProviderError


class OpenAI(base.Adapter):
    """The origin of the shape.

    Its reasoning models refuse `max_tokens`; every chat model takes `max_completion_tokens`.
    An account without credit is reported as 429, which waiting does not cure.
    Source: https://platform.openai.com/docs/guides/error-codes (November 2026).
    """

    kind: ClassVar[str] = "openai"
    default_base_url: ClassVar[str] = "https://api.openai.com/v1"
    output_limit_field: ClassVar[Literal["max_tokens", "max_completion_tokens"]] = (
        "max_completion_tokens"
    )

    def body(
        self, request: Mapping[str, Any], *, model: str, stream: bool, user: str
    ) -> dict[str, Any]:
        body = super().body(request, model=model, stream=stream, user=user)
        base.one_output_limit(body, "max_completion_tokens")
        return body

    def error(self, status: int, headers: Mapping[bytes, bytes], body: bytes) -> ProviderError:
        if status == 429 and base.error_object(body).get("code") == "insufficient_quota":
            return AccountError("429: the account has no credit left")
        return super().error(status, headers, body)
