"""What the gate may answer to a request for money. Values, not errors: the edges render them."""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

LimitCode = Literal["rate_limited", "concurrency_limited", "spend_limit", "token_limit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """The hold stands. granted_nanos is between what was asked for and the least acceptable.

    trial: a free trial request, nothing will be charged. balance_nanos is what is still free.
    """

    user_id: UUID
    granted_nanos: int
    balance_nanos: int
    trial: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedsTopUp:
    """Not enough money. debt: a receivable is open, top-ups pay it first."""

    user_id: UUID
    balance_nanos: int
    debt: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedsGrant:
    """Shared mode: the person has not authorized this paywall, or its cap is used up."""

    user_id: UUID | None
    cap_reached: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Limited:
    """A limit set by the developer. kind: the limit's kind; subject: user, key or paywall."""

    code: LimitCode
    kind: str
    subject: str
    limit: int
    retry_after_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The key, user or paywall was closed since the snapshot was taken. code: an error code."""

    code: Literal["invalid_api_key", "paywall_paused", "paywall_archived", "user_blocked"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeated:
    """The Idempotency-Key was used before. For `completed` the earlier request and its cost."""

    state: Literal["in_progress", "completed", "mismatch"]
    request_id: UUID | None = None
    charged_nanos: int = 0


Decision = Allowed | NeedsTopUp | NeedsGrant | Limited | Refused | Repeated
