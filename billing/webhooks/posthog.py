"""PostHog's `$ai_generation`, from a request's row after the fact. Pure; never a prompt.

Source: PostHog's documentation of manual capture for LLM analytics, and of `POST /i/v0/e/`.
"""

from collections.abc import Mapping
from typing import Any, Final

from billing.webhooks import envelope
from config.kit.money import format_nanos

EVENTS: Final = (
    "paywall.proxy.request.completed",
    "paywall.proxy.request.failed",
    "paywall.proxy.request.canceled",
)
"""Each routed request ends in one of these."""

PATH: Final = "/i/v0/e/"


def capture(row: Mapping[str, Any], *, key: str) -> dict[str, object]:
    """What PostHog takes. row: of a delivery, with the request's row under `request`."""
    request: Mapping[str, Any] = row["request"] or {}
    usage: Mapping[str, Any] = request.get("usage") or {}
    model = str(request.get("model") or row["facts"]["model"])
    provider, _, name = model.partition("/")
    error = request.get("error_code") or row["facts"].get("errorCode") or ""
    properties: dict[str, object] = {
        "$ai_trace_id": request.get("run") or envelope.public("req", row["facts"]["requestId"]),
        "$ai_model": name or provider,
        "$ai_provider": provider,
        "$ai_input_tokens": usage.get("prompt", 0),
        "$ai_output_tokens": usage.get("completion", 0),
        "$ai_latency": request.get("duration_ms", 0) / 1000,
        "$ai_http_status": request.get("http_status"),
        "$ai_is_error": bool(error),
        "$ai_error": error or None,
        "$ai_total_cost_usd": float(format_nanos(request.get("provider_cost", 0))),
    }
    return {
        "api_key": key,
        "event": "$ai_generation",
        "distinct_id": row["external_id"] or envelope.public("pw", row["paywall_id"]),
        "uuid": row["event_id"],
        "timestamp": envelope.when(row["happened_at"]),
        "properties": properties,
    }
