"""What goes into the gate and what comes out, beside `paywalls.decisions`.

What is made for every request is not frozen: that makes making it three times as fast.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

from paywalls.types import Caps

Status = Literal["completed", "client_gone", "truncated", "failed", "recovered"]
"""How a request ended: whole; the client left; the provider broke off; nothing was delivered;
settled by the reaper from the last checkpoint."""

UsageSource = Literal["provider", "estimated", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Payer:
    """Whose wallet, under which terms: the same for every money call of a request.

    user: the external id. shared: a person's wallet pays, within a grant. tell: somebody listens to
    this paywall's events. The trial is what a user gets who is seen for the first time.
    *_caps: limits of this paywall for each user, for the key and for the whole paywall.
    """

    paywall_id: UUID
    key_id: UUID | None
    livemode: bool
    currency: str
    timezone: str
    user: str
    trial_nanos: int = 0
    trial_requests: int = 0
    trial_days: int = 0
    tell: bool = False
    shared: bool = False
    user_caps: Caps = field(default_factory=dict)
    key_caps: Caps = field(default_factory=dict)
    paywall_caps: Caps = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Ask:
    """A hold to place before a request goes out. Amounts in nanos, least ≤ want.

    facts: what the reaper needs to write the request's row when this process dies: model,
    connection, rate, feature, run, streamed, started_at (ISO).
    idempotency_key, fingerprint: digests (32 bytes) of the header and of the body, or None.
    """

    request_id: UUID
    payer: Payer
    want_nanos: int
    least_nanos: int
    facts: Mapping[str, object]
    idempotency_key: bytes | None = None
    fingerprint: bytes | None = None


@dataclass(slots=True, kw_only=True)
class Bill:
    """How a held request ended, and what it costs. charge_nanos 0 releases the whole hold.

    policy: the settlement rule that was applied, in words of `providers.types.Policy`.
    usage: `paywalls.pricing.Usage.as_dict()`. attempts: one object per try at a provider.
    """

    request_id: UUID
    payer: Payer
    charge_nanos: int
    provider_cost_nanos: int
    status: Status
    policy: str
    usage: Mapping[str, int]
    usage_source: UsageSource
    model: str
    connection_id: UUID | None
    rate_id: UUID | None
    feature: str = ""
    run: str = ""
    streamed: bool = False
    http_status: int = 200
    error_code: str = ""
    first_byte_ms: int | None = None
    duration_ms: int = 0
    attempts: Sequence[Mapping[str, object]] = ()


@dataclass(slots=True, kw_only=True)
class Settled:
    """What was booked. late: the hold was already resolved by somebody else; nothing was booked.

    charged_nanos ≤ hold; balance_nanos is what the wallet can spend now.
    """

    charged_nanos: int
    balance_nanos: int
    late: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A running request's checkpoint: what the reaper bills if this process dies now.

    delivered: whether output has reached the client. usage: as in Bill.
    """

    charge_nanos: int
    provider_cost_nanos: int
    delivered: bool
    usage: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """A manual charge or deposit that was booked now or earlier (replayed).

    balance_nanos: what the wallet can spend now; of an app's deposit, what it could when it was
    booked.
    """

    transaction_id: UUID
    user_id: UUID
    amount_nanos: int
    balance_nanos: int
    replayed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Page[Item, Cursor]:
    """Some items, the newest first. next: ask with it for those before them; None at the end."""

    items: tuple[Item, ...]
    next: Cursor | None
