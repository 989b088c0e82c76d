"""GET /v1/models."""

from typing import Final

import orjson

from config.kit.money import ceil_div, format_nanos
from paywalls.pricing import BASIS_POINTS, Rates
from providers.types import CatalogModel
from proxy.offers import is_allowed
from proxy.requests import Call
from proxy.responses import send_json
from proxy.services import Services
from proxy.snapshot import Caller

VARIANTS_MAX: Final = 100
"""Different lists of allowed models whose answers are kept per paywall."""


async def show(_services: Services, call: Call) -> None:
    """The models that this key may call, at selling prices; those without a price are left out."""
    caller = call.caller
    kept, variant = caller.snapshot.models_json, caller.key.allowed_models
    answer = kept.get(variant)
    if answer is None:
        answer = orjson.dumps({"object": "list", "data": _models(caller)})
        if len(kept) < VARIANTS_MAX:
            kept[variant] = answer
    await send_json(call, 200, answer)


def _models(caller: Caller) -> list[dict[str, object]]:
    """By id, and by the paywall's own names for some of them."""
    catalogue = caller.catalogue.models
    named = dict(catalogue)
    for alias, target in caller.paywall.aliases.items():
        if target in catalogue:
            named[alias] = catalogue[target]
    return [
        _described(name, model, rates)
        for name, model in named.items()
        if is_allowed(caller, name, model) and (rates := caller.snapshot.selling(model))
    ]


def _described(name: str, model: CatalogModel, rates: Rates) -> dict[str, object]:
    return {
        "id": name,
        "object": "model",
        "created": model.created,
        "owned_by": model.endpoint.name,
        "name": model.upstream,
        "display_name": model.display_name or model.upstream,
        "description": model.description,
        "context_length": model.context_tokens,
        "pricing": {
            "prompt": _selling(rates.prompt, rates),
            "completion": _selling(rates.completion, rates),
            "request": format_nanos(rates.request),
            "minimum": format_nanos(rates.minimum),
            "input_cache_read": _selling(
                rates.prompt if rates.cached is None else rates.cached, rates
            ),
        },
    }


def _selling(rate: int, rates: Rates) -> str:
    """A price with its markup, per million tokens, rounded up to a whole nano."""
    return format_nanos(ceil_div(rate * (BASIS_POINTS + rates.markup_bps), BASIS_POINTS))
