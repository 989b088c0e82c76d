"""OpenRouter."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import ROUND_CEILING, Decimal
from typing import Any, ClassVar, Final

from config.kit.money import NANOS
from paywalls.pricing import Usage
from providers.adapters import base
from providers.errors import ProviderError, RejectedError, scrub

OTHER_MODELS: Final = ("models", "route")
"""Fields that name further models, which nobody has allowed or priced.
Source: https://openrouter.ai/docs/guides/routing/model-fallbacks (November 2026)."""

ATTRIBUTION: Final = b"X-Title: Paywalls\r\n"
DOLLARS_MAX: Final = 100_000
"""More than that for one answer is a mistake."""


class OpenRouter(base.Adapter):
    """Many providers behind one key. Every answer says what it cost.

    Stopping a stream stops the bill for most providers behind it, not for all (Google, Groq,
    Mistral and Bedrock among the others): a connection used for those is better set to `drain`.
    402 is an empty account; 403 with reasons is its moderation, which is about the prompt.
    Source: https://openrouter.ai/docs/api/reference/streaming, /errors, /usage-accounting
    (November 2026).
    """

    kind: ClassVar[str] = "openrouter"
    default_base_url: ClassVar[str] = "https://openrouter.ai/api/v1"
    probe_path: ClassVar[str] = "/key"  # its list of models is open to everyone

    def auth(self, key: str) -> bytes:
        return super().auth(key) + ATTRIBUTION

    def body(
        self, request: Mapping[str, Any], *, model: str, stream: bool, user: str
    ) -> dict[str, Any]:
        body = super().body(request, model=model, stream=stream, user=user)
        for name in OTHER_MODELS:
            body.pop(name, None)
        return body

    def read_usage(self, reported: Mapping[str, Any]) -> Usage | None:
        usage = super().read_usage(reported)
        searches = base.count(base.details(reported, "server_tool_use"), "web_search_requests")
        return replace(usage, tools=searches) if usage is not None else None

    def cost_nanos(self, payload: Mapping[str, Any]) -> int | None:
        """`usage.cost`, and what a key of our own there was billed for besides."""
        reported = payload.get("usage")
        if not isinstance(reported, dict) or reported.get("cost") is None:
            return None
        total = _dollars(reported["cost"])
        if reported.get("is_byok") is True:
            breakdown = base.details(reported, "cost_details")
            total += _dollars(breakdown.get("upstream_inference_cost") or 0)
        return int((total * NANOS).to_integral_value(ROUND_CEILING))

    def error(self, status: int, headers: Mapping[bytes, bytes], body: bytes) -> ProviderError:
        if status == 403:
            error = base.error_object(body)
            metadata = error.get("metadata")
            if isinstance(metadata, dict) and metadata.get("reasons"):
                return RejectedError(scrub(str(error.get("message"))), status=403)
        return super().error(status, headers, body)


def _dollars(value: object) -> Decimal:
    """Exactly the digits that were sent.

    Raises: ValueError.
    """
    if type(value) not in (int, float):
        raise base.UsageError("usage: cost is not a number")
    amount = Decimal(str(value))
    if not amount.is_finite() or not 0 <= amount <= DOLLARS_MAX:
        raise base.UsageError("usage: cost is not an amount")
    return amount
