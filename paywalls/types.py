"""What the hot path must know about a paywall and a key: immutable values, loaded once."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal
from uuid import UUID

from paywalls.pricing import Rates

Mode = Literal["default", "shared"]
Match = Literal["model", "prefix", "feature", "default"]
Basis = Literal["own", "cost", "free"]
Caps = Mapping[str, int]
"""Limit kind → value (nanos for spend_*, counts for the rest)."""

OPERATOR: Final = UUID(int=0)
"""Who runs this: the owner of the platform's accounts, and the built-in provider as a connection.
`billing_operator()` in the database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceRule:
    """One rule of a price list. `own`: `rates` are the prices; `cost`: the provider's cost plus
    markup, with own request fee and minimum; `free`: explicitly nothing.
    """

    match: Match
    value: str = ""
    basis: Basis
    rates: Rates = field(default_factory=Rates)


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceList:
    """A price version, ready to be asked. Amounts in nanos of the paywall's currency."""

    version_id: UUID
    number: int
    rules: tuple[PriceRule, ...]
    usd_rate_nanos: int | None = None
    trial_nanos: int = 0
    trial_requests: int = 0
    trial_days: int = 0
    credits_name: str = ""
    credits_per_unit: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PaywallConfig:
    """A paywall as the hot path sees it. prices is None until prices are set."""

    id: UUID
    name: str
    mode: Mode
    currency: str
    livemode: bool
    timezone: str
    allowed_models: tuple[str, ...]
    graceful: bool
    store_answers: bool
    paused: bool
    archived: bool
    version: int
    prices: PriceList | None
    user_caps: Caps
    paywall_caps: Caps
    aliases: Mapping[str, str]
    templates: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyConfig:
    """A key as the hot path sees it. livemode is already the effective one (key and paywall).

    left: until it expires, counted from when it was loaded, by the database's clock.
    """

    id: UUID
    paywall_id: UUID
    livemode: bool
    scopes: frozenset[str]
    allowed_models: tuple[str, ...]
    external_user: str | None
    error_mode: bool
    idempotency_required: bool
    left: dt.timedelta | None
    caps: Caps

    def may(self, scope: str) -> bool:
        """Whether the key has this scope of `paywalls.keys`."""
        return not self.scopes or scope in self.scopes
