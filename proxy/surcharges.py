"""Fields that make a provider's bill larger than an answer's tokens say, and what is done about it.

Each is in the hold, or refused until the owner lets it pass. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from config.kit.errors import InvalidRequestError
from config.kit.limits import TOOL_CALLS_MAX
from paywalls.pricing import Rates
from providers.types import Policy

USUAL_TIERS: Final = frozenset(
    {"auto", "default", "flex", "on_demand", "standard", "standard_only"}
)
"""`service_tier`: what the catalogue's price covers. `auto` is the owner's choice at the provider.
Source: https://platform.openai.com/docs/guides/priority-processing (November 2026)."""

SEARCHES: Final = ("enable_search", "plugins", "search_parameters", "web_search_options")
"""The provider searches by itself, as often as it likes, and each search costs.
Source: https://platform.openai.com/docs/pricing, https://docs.x.ai/docs/guides/live-search,
https://openrouter.ai/docs/guides/features/plugins/web-search (November 2026)."""

CALLERS_TOOLS: Final = frozenset({"custom", "function"})
"""Kinds of tools that the caller runs. The provider runs all others."""

FOUND_TOKENS: Final = 8_000
"""Of one search, at most: what OpenAI takes for a whole one.
Source: https://platform.openai.com/docs/pricing (November 2026)."""

_CARRIER: Final = "extra_body"
_FIELDS: Final = frozenset(
    {
        *SEARCHES,
        *("audio", "modalities", "prediction", "provider", "service_tier", "tools", _CARRIER),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surcharges:
    """What a chat asks for besides tokens: the fields that do, empty where none does.

    other: what no price covers. tools, audio: what a price of its own covers. predicted_tokens: of
    a prediction, at most; those that were wrong are paid like output.
    """

    other: str = ""
    tools: str = ""
    audio: str = ""
    predicted_tokens: int = 0

    @property
    def tool_calls(self) -> int:
        """How many of the provider's tool calls are held for."""
        return TOOL_CALLS_MAX if self.tools else 0

    @property
    def prompt_tokens(self) -> int:
        """What these may find, which the model reads as part of its prompt."""
        return self.tool_calls * FOUND_TOKENS

    def not_covered(self, rates: Rates, policy: Policy) -> str:
        """The field that this price does not cover, unless the owner lets it pass; or ""."""
        if policy.surcharges == "pass":
            return ""
        tools = "" if rates.tool else self.tools
        audio = "" if rates.audio_completion is not None else self.audio
        return self.other or tools or audio


NONE: Final = Surcharges()


def find(body: Mapping[str, Any]) -> Surcharges:
    """What a chat's body asks for; some servers read `extra_body` as if it were the body."""
    if _FIELDS.isdisjoint(body):
        return NONE
    carried = body.get(_CARRIER)
    inner = carried if isinstance(carried, dict) else {}
    return Surcharges(
        other=_other(body) or _other(inner),
        tools=_tools(body) or _tools(inner),
        audio=_audio(body) or _audio(inner),
        predicted_tokens=_predicted_tokens(body) + _predicted_tokens(inner),
    )


def refusal(field: str) -> InvalidRequestError:
    """Why a chat is not sent on."""
    return InvalidRequestError(
        f"`{field}` can make the provider charge more than this model's price covers. Leave it out,"
        " or ask the paywall's owner to price it or to let it pass.",
        param=field,
    )


def _other(fields: Mapping[str, Any]) -> str:
    """Who serves it, how fast, and images: the same model at another price."""
    if fields.get("provider") is not None:
        return "provider"
    tier = fields.get("service_tier")
    if tier is not None and str(tier) not in USUAL_TIERS:
        return "service_tier"
    return "" if _outputs(fields) <= {"audio", "text"} else "modalities"


def _outputs(fields: Mapping[str, Any]) -> set[str]:
    asked = fields.get("modalities") or ()
    return set(map(str, asked)) if isinstance(asked, list | tuple) else {str(asked)}


def _audio(fields: Mapping[str, Any]) -> str:
    if fields.get("audio") is not None:
        return "audio"
    return "modalities" if "audio" in _outputs(fields) else ""


def _tools(fields: Mapping[str, Any]) -> str:
    for name in SEARCHES:
        # An empty object asks for a search with the usual options.
        if fields.get(name) not in (None, False, []):
            return name
    tools = fields.get("tools")
    listed = tools if isinstance(tools, list) else ()
    kinds = {str(tool.get("type", "function")) for tool in listed if isinstance(tool, dict)}
    return "" if kinds <= CALLERS_TOOLS else "tools"


def _predicted_tokens(fields: Mapping[str, Any]) -> int:
    """A token is at least one byte."""
    prediction = fields.get("prediction")
    return len(orjson.dumps(prediction)) if prediction is not None else 0
