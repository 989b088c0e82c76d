"""Together AI."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from paywalls.pricing import Usage
from providers.adapters import base


class Together(base.Adapter):
    """Open models. It knows the output limit as `max_tokens`, and says cached tokens flat.

    Source: https://docs.together.ai/reference/chat-completions-1 (November 2026).
    """

    kind: ClassVar[str] = "together"
    default_base_url: ClassVar[str] = "https://api.together.xyz/v1"

    def body(
        self, request: Mapping[str, Any], *, model: str, stream: bool, user: str
    ) -> dict[str, Any]:
        body = super().body(request, model=model, stream=stream, user=user)
        base.one_output_limit(body, "max_tokens")
        return body

    def read_usage(self, reported: Mapping[str, Any]) -> Usage | None:
        usage = super().read_usage(reported)
        cached = base.count(reported, "cached_tokens")
        if usage is None or usage.cached or not cached:
            return usage
        if cached > usage.prompt - usage.cache_write - usage.audio_prompt:
            raise base.UsageError("usage: a part is larger than its whole")
        return replace(usage, cached=cached)
