"""Anthropic, through its OpenAI-compatible endpoint."""

from collections.abc import Mapping
from typing import Any, ClassVar

from paywalls.pricing import Usage
from providers.adapters import base


class Anthropic(base.Adapter):
    """Claude models in the OpenAI shape.

    `n` must be 1 and whatever it does not know is ignored. Usage has no details there; the native
    form, in which `input_tokens` leaves cached tokens out, is understood as well.
    Source: https://platform.claude.com/docs/en/api/openai-sdk (November 2026).
    """

    kind: ClassVar[str] = "anthropic"
    default_base_url: ClassVar[str] = "https://api.anthropic.com/v1"
    hides_reasoning: ClassVar[bool] = True

    def probe_headers(self, key: str) -> dict[str, str]:
        return {"x-api-key": key, "anthropic-version": "2023-06-01"}

    def read_usage(self, reported: Mapping[str, Any]) -> Usage | None:
        if "input_tokens" not in reported:
            return super().read_usage(reported)
        uncached, completion = (
            base.count_or_none(reported, name) for name in ("input_tokens", "output_tokens")
        )
        if uncached is None and completion is None:
            return None
        cached = base.count(reported, "cache_read_input_tokens")
        written = base.count(reported, "cache_creation_input_tokens")
        return base.checked(
            prompt=(uncached or 0) + cached + written,
            completion=completion or 0,
            cached=cached,
            cache_write=written,
        )
