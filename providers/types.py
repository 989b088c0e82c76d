"""Values of the provider layer that others pass around."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from uuid import UUID

from paywalls.pricing import Rates

if TYPE_CHECKING:
    from providers.adapters.base import Adapter


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Settlement policy of a connection, as data: who pays when a request does not end well.

    client_gone: `estimate` cancels upstream and charges what was delivered; `drain` lets it run to
    the usage block and charges all; `free` cancels and charges nothing.
    upstream_error (after output was delivered): `delivered` charges that, `free` nothing.
    zero_output: `free` charges nothing, `prompt` the prompt.
    usage_missing: `estimate` counts with the model's tokenizer, `free` charges nothing.
    surcharges: fields that make the provider charge more than the price covers: `refuse` them, or
    `pass` them on at the owner's expense.
    """

    client_gone: Literal["estimate", "drain", "free"] = "estimate"
    upstream_error: Literal["delivered", "free"] = "delivered"
    zero_output: Literal["free", "prompt"] = "free"
    usage_missing: Literal["estimate", "free"] = "estimate"
    surcharges: Literal["refuse", "pass"] = "refuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Bounds of one attempt, in seconds (T29)."""

    connect_s: float
    first_byte_s: float
    idle_s: float
    total_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A connection, unsealed and ready: where to send and what to say.

    headers: complete header lines with the credential, `name: value\\r\\n` each, as bytes.
    base_path: path of the base URL without a trailing slash, such as `/v1`.
    """

    connection_id: UUID
    name: str
    kind: str
    adapter: "Adapter"
    scheme: Literal["http", "https"]
    host: str
    port: int
    base_path: str
    headers: bytes
    policy: Policy
    timeouts: Timeouts


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogModel:
    """A model that an endpoint offers. cost is in nanos of a US dollar; None: not known.

    id: what callers write and receipts show, `connection name/upstream name`.
    """

    id: str
    upstream: str
    endpoint: Endpoint
    display_name: str
    description: str
    context_tokens: int | None
    output_tokens_max: int | None
    cost: Rates | None
    created: int


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All that a paywall can reach, in the owner's order."""

    endpoints: tuple[Endpoint, ...]
    models: Mapping[str, CatalogModel]
    """By id, in the owner's order."""

    by_upstream: Mapping[str, tuple[CatalogModel, ...]]
    """By the provider's own name, in the owner's order."""
