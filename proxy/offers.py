"""What may serve a chat, and at which price: the preferred model first, then its fallbacks."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID

from paywalls import rules
from paywalls.pricing import Rates
from providers import routing
from providers.types import CatalogModel
from proxy.errors import ModelNotAllowedError, ModelNotFoundError, ModelNotPricedError

if TYPE_CHECKING:
    from proxy.snapshot import Caller

OFFERS_MAX: Final = 3
"""Providers that one request may be tried at, the first included."""


@dataclass(slots=True)
class Offer:
    """A model with its selling price, and the id under which receipts find that price."""

    model: CatalogModel
    rates: Rates
    rate_id: UUID


async def find_offers(caller: "Caller", asked: str, feature: str) -> list[Offer]:
    """Everything that may serve the model `asked` for, in the owner's order.

    Raises: ModelNotFoundError, ModelNotAllowedError, ModelNotPricedError; GateUnavailable when a
    price is not in memory and the database does not answer.
    """
    found = routing.candidates(asked, aliases=caller.paywall.aliases, catalogue=caller.catalogue)
    if not found:
        raise ModelNotFoundError(
            f"No connection of this paywall offers the model {asked!r}. `GET /v1/models` lists"
            " those that are offered.",
            param="model",
        )
    allowed = [model for model in found if is_allowed(caller, asked, model)]
    if not allowed:
        raise ModelNotAllowedError(
            f"This paywall or key does not allow the model {asked!r}. Its owner can allow it.",
            param="model",
        )
    offers = []
    for model in allowed[:OFFERS_MAX]:
        price = await caller.snapshot.rate_for(model, feature)
        if price is not None:
            offers.append(Offer(model, *price))
    if not offers:
        raise ModelNotPricedError(
            f"The model {asked!r} has no price on this paywall. Its owner can set one, or choose"
            " cost plus markup where the provider's cost is known.",
            param="model",
        )
    return offers


def is_allowed(caller: "Caller", asked: str, model: CatalogModel) -> bool:
    """Whether paywall and key both allow a model; an empty list allows all.

    Lists name models as callers do, by alias, id or the provider's own name, or prefixes with `*`.
    """
    names = (asked, model.id, model.upstream)
    return all(
        rules.allows(allowed, names)
        for allowed in (caller.paywall.allowed_models, caller.key.allowed_models)
    )
