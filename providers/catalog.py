"""What a paywall can reach: its connections, unsealed and ready, and their models with costs."""

import logging
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import fields, replace
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db.models import Q

from config.kit import crypto, egress
from paywalls.models import Paywall
from paywalls.pricing import Rates
from paywalls.types import OPERATOR
from providers import network
from providers.adapters.registry import ADAPTERS
from providers.models import Connection, Model
from providers.types import CatalogModel, Catalogue, Endpoint, Policy, Timeouts

log = logging.getLogger(__name__)

TIMEOUTS: Final = ("connect_s", "first_byte_s", "idle_s", "total_s")
DEMO_PATH: Final = "/v1"


def load(paywall_id: UUID) -> Catalogue:
    """Everything that the paywall's active connections offer, in the owner's order.

    A Shared paywall without any has the operator's built-in provider, if there is one.
    A connection that cannot work (no key where one is needed, or an address that is not allowed)
    is left out, and so are its models.
    """
    connections = list(Connection.objects.filter(paywall_id=paywall_id, is_active=True))
    if not connections and Paywall.objects.filter(pk=paywall_id, mode=Paywall.Mode.SHARED).exists():
        connections = built_in()
    endpoints = [found for connection in connections if (found := endpoint(connection)) is not None]
    rows = Model.objects.filter(
        Q(connection__isnull=True, kind__in={found.kind for found in endpoints})
        | Q(connection__in=[found.connection_id for found in endpoints])
    ).order_by("name")
    of_kind: dict[str, dict[str, Model]] = defaultdict(dict)
    of_connection: dict[UUID, dict[str, Model]] = defaultdict(dict)
    for row in rows:
        if row.connection_id is None:
            of_kind[row.kind][row.name] = row
        else:
            of_connection[row.connection_id][row.name] = row
    offered = [
        _model(row, found)
        for found in endpoints
        # A connection's own row stands in for its kind's, also when it switches the model off.
        for row in (of_kind[found.kind] | of_connection[found.connection_id]).values()
        if row.is_active
    ]
    return catalogue(endpoints, offered)


def catalogue(endpoints: Iterable[Endpoint], models: Iterable[CatalogModel]) -> Catalogue:
    """Index models, which come in the owner's order."""
    by_id: dict[str, CatalogModel] = {}
    by_upstream: dict[str, list[CatalogModel]] = defaultdict(list)
    for model in models:
        by_id[model.id] = model
        by_upstream[model.upstream].append(model)
    return Catalogue(
        endpoints=tuple(endpoints),
        models=by_id,
        by_upstream={name: tuple(found) for name, found in by_upstream.items()},
    )


def endpoint(connection: Connection) -> Endpoint | None:
    """The connection, unsealed; None when it cannot be used, which is logged."""
    adapter = ADAPTERS[connection.kind]
    try:
        destination = egress.parse(base_url(connection), network.policy())
        key = unseal_key(connection, destination.origin)
    except (egress.DestinationRefusedError, crypto.SealError) as problem:
        log.warning("connection %s is left out: %s", connection.public_id, problem)
        return None
    if adapter.needs_key and not key:
        return None
    return Endpoint(
        connection_id=connection.id,
        name=connection.name,
        kind=connection.kind,
        adapter=adapter,
        scheme=destination.scheme,
        host=destination.host,
        port=destination.port,
        base_path=destination.target.rstrip("/"),
        headers=adapter.auth(key),
        policy=policy(connection),
        timeouts=timeouts(connection),
    )


def built_in() -> list[Connection]:
    """The operator's own provider, as a connection that no table has; none where it is not set."""
    kind = settings.BUILT_IN_PROVIDER
    if not kind:
        return []
    url = ADAPTERS[kind].default_base_url
    return [Connection(id=OPERATOR, name=kind, kind=kind, base_url=url)]


def base_url(connection: Connection) -> str:
    """The URL to use: the connection's, or for the demo provider the operator's setting."""
    if connection.base_url or connection.kind != Connection.Kind.DEMO:
        return connection.base_url
    url: str = settings.DEMO_PROVIDER_URL
    return url if url.endswith(DEMO_PATH) else url + DEMO_PATH


def unseal_key(connection: Connection, origin: str) -> str:
    """The provider key in clear, or "" when there is none.

    Raises: crypto.SealError, also when it was sealed for another origin.
    """
    if connection.id == OPERATOR:
        return str(settings.BUILT_IN_KEY)
    if connection.sealed_key is None:
        return ""
    return crypto.unseal(
        bytes(connection.sealed_key),
        context=seal_context(connection.paywall_id, origin),
        keys=settings.ENCRYPTION_KEYS,
    ).decode()


def seal_context(paywall_id: UUID, origin: str) -> str:
    """What a key is bound to: whose it is, and where alone it may be sent."""
    return f"connection:{paywall_id}:{origin}"


def policy(connection: Connection) -> Policy:
    """How requests that do not end well are settled: the adapter's rules and the owner's."""
    known = {field.name for field in fields(Policy)}
    own = {name: value for name, value in connection.settlement.items() if name in known}
    return replace(ADAPTERS[connection.kind].policy, **own)


def timeouts(connection: Connection) -> Timeouts:
    """Bounds of one attempt: the operator's settings, and the owner's where they are tighter or
    looser up to the operator's total.
    """
    own = connection.timeouts
    most: float = settings.UPSTREAM_TOTAL_S
    chosen = {
        name: min(float(own.get(name, getattr(settings, f"UPSTREAM_{name.upper()}"))), most)
        for name in TIMEOUTS
    }
    return Timeouts(**chosen)


def _model(row: Model, found: Endpoint) -> CatalogModel:
    return CatalogModel(
        id=f"{found.name}/{row.name}",
        upstream=row.name,
        endpoint=found,
        display_name=row.display_name or row.name,
        description=row.description,
        context_tokens=row.context_tokens,
        output_tokens_max=row.output_tokens_max,
        cost=Rates.from_dict(row.cost) if row.cost is not None else None,
        created=int(row.created_at.timestamp()),
    )
