"""From the model that a caller names to what can serve it. Pure."""

from collections.abc import Mapping

from providers.types import CatalogModel, Catalogue

ALIAS_HOPS_MAX = 3


def candidates(
    model: str, *, aliases: Mapping[str, str], catalogue: Catalogue
) -> list[CatalogModel]:
    """What can serve the model, the preferred one first, the others as fallbacks; [] = unknown.

    First match: an alias; `connection/model` or `kind/model`; the whole id as the provider says
    it; in the owner's order. An alias may name another one.
    """
    for _ in range(ALIAS_HOPS_MAX):
        target = aliases.get(model)
        if target is None or target == model:
            break
        model = target
    prefix, slash, rest = model.partition("/")
    if slash:
        named = catalogue.models.get(model)
        if named is not None:
            return [named]
        of_kind = [
            found for found in catalogue.by_upstream.get(rest, ()) if found.endpoint.kind == prefix
        ]
        if of_kind:
            return of_kind
    return list(catalogue.by_upstream.get(model, ()))
