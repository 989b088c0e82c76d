"""The gate's values as the objects that `billing/sql` reads and writes.

`earns` is who gets a charge, as booked to the first account: with more of them it is shared.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from billing.types import Ask, Bill, Movement, Payer, Progress, Settled
from config.kit.money import AMOUNT_NANOS_MAX
from paywalls.decisions import (
    Allowed,
    Decision,
    LimitCode,
    Limited,
    NeedsGrant,
    NeedsTopUp,
    Refused,
    Repeated,
)

CODES: Final[dict[str, LimitCode]] = {
    "concurrency": "concurrency_limited",
    "requests_minute": "rate_limited",
    "requests_day": "rate_limited",
    "spend_day": "spend_limit",
    "spend_month": "spend_limit",
}
TELL: Final[dict[str, object]] = {"tell": True}
"""Somebody listens to this paywall's events; nothing is said where nobody does."""

COUNTED: Final = frozenset(CODES)
"""Kinds that the gate counts; the others bound tokens and are the edge's."""


def payer_object(payer: Payer) -> dict[str, object]:
    """Who pays, where, under which caps and trial."""
    caps = {
        subject: counted
        for subject, all_caps in (
            ("user", payer.user_caps),
            ("key", payer.key_caps),
            ("paywall", payer.paywall_caps),
        )
        if (counted := {kind: n for kind, n in all_caps.items() if kind in COUNTED})
    }
    trial = payer.trial_nanos or payer.trial_requests
    return {
        **(TELL if payer.tell else {}),
        "paywall": payer.paywall_id,
        "key": payer.key_id,
        "live": payer.livemode,
        "cur": payer.currency,
        "zone": payer.timezone,
        "user": payer.user,
        "caps": caps or None,
        "trial": {
            "nanos": payer.trial_nanos,
            "requests": payer.trial_requests,
            "days": payer.trial_days,
        }
        if trial
        else None,
    }


def earning_object(earns: Sequence[UUID]) -> dict[str, object]:
    """Where a charge goes, and who has a share in it."""
    to, *parties = earns
    return {"to": to, "parties": parties} if parties else {"to": to}


def ask_object(ask: Ask, *, earns: Sequence[UUID]) -> dict[str, object]:
    """An ask; its facts are completed so that the reaper can bill without this process."""
    payer = ask.payer
    facts = {
        **(TELL if payer.tell else {}),
        **ask.facts,
        **earning_object(earns),
        "paywall": payer.paywall_id,
        "key": payer.key_id,
        "live": payer.livemode,
        "zone": payer.timezone,
    }
    return payer_object(payer) | {
        "id": ask.request_id,
        "want": ask.want_nanos,
        "least": ask.least_nanos,
        "facts": facts,
        "idem": ask.idempotency_key.hex() if ask.idempotency_key else None,
        "print": ask.fingerprint.hex() if ask.fingerprint else None,
    }


def bill_object(
    bill: Bill, *, earns: Sequence[UUID], user: UUID, transaction: UUID, trial: bool
) -> dict[str, object]:
    """A bill, flat. Amounts follow what providers report, so they are bounded here."""
    payer = bill.payer
    return {
        **(TELL if payer.tell else {}),
        "id": bill.request_id,
        "txn": transaction,
        "charge": min(bill.charge_nanos, AMOUNT_NANOS_MAX),
        **earning_object(earns),
        "paywall": payer.paywall_id,
        "live": payer.livemode,
        "zone": payer.timezone,
        "user": user,
        "key": payer.key_id,
        "trial": trial,
        "status": bill.status,
        "policy": bill.policy,
        "model": bill.model,
        "connection": bill.connection_id,
        "rate": bill.rate_id,
        "feature": bill.feature,
        "run": bill.run,
        "streamed": bill.streamed,
        "http_status": bill.http_status,
        "error_code": bill.error_code,
        "usage": bill.usage,
        "usage_source": bill.usage_source,
        "provider_cost": min(bill.provider_cost_nanos, AMOUNT_NANOS_MAX),
        "first_byte_ms": bill.first_byte_ms,
        "duration_ms": bill.duration_ms,
        "attempts": bill.attempts,
    }


def progress_object(progress: Progress) -> dict[str, object]:
    """A checkpoint, as the reaper reads it."""
    return {
        "charge": min(progress.charge_nanos, AMOUNT_NANOS_MAX),
        "provider_cost": min(progress.provider_cost_nanos, AMOUNT_NANOS_MAX),
        "delivered": progress.delivered,
        "usage": progress.usage,
    }


def decision_of(answer: Mapping[str, Any]) -> Decision:
    """The gate's answer to an ask."""
    match answer["outcome"]:
        case "allowed" | "repeated":
            return Allowed(
                user_id=UUID(answer["user"]),
                granted_nanos=answer["granted"],
                balance_nanos=answer["available"],
                trial=answer["trial"],
            )
        case "topup_required" | "debt" as outcome:
            return NeedsTopUp(
                user_id=UUID(answer["user"]),
                balance_nanos=answer["available"],
                debt=outcome == "debt",
            )
        case "authorization_required" | "cap_reached" as outcome:
            return NeedsGrant(user_id=UUID(answer["user"]), cap_reached=outcome == "cap_reached")
        case "limited":
            refusal = answer["refusal"]
            return Limited(
                code=CODES[refusal["kind"]],
                kind=refusal["kind"],
                subject=refusal["subject"],
                limit=refusal["limit"],
                retry_after_s=refusal["retry_after"],
            )
        case "repeated_key":
            request = answer.get("request")
            return Repeated(
                state=answer["state"],
                request_id=UUID(request) if request else None,
                charged_nanos=answer.get("charged", 0),
            )
        case code:
            return Refused(code=code)


def settled_of(answer: Mapping[str, Any]) -> Settled:
    """The gate's answer to a bill."""
    return Settled(
        charged_nanos=answer["charged"],
        balance_nanos=answer["available"],
        late=answer["state"] == "late",
    )


def movement_of(answer: Mapping[str, Any]) -> Movement | Decision:
    """The gate's answer to a manual charge or a credit."""
    if answer["outcome"] != "booked":
        return decision_of(answer)
    return Movement(
        transaction_id=UUID(answer["txn"]),
        user_id=UUID(answer["user"]),
        amount_nanos=answer["charged"],
        balance_nanos=answer["available"],
        replayed=answer["replayed"],
    )


def moment(text: str | None) -> dt.datetime | None:
    """A time that the database wrote into an object."""
    return dt.datetime.fromisoformat(text) if text else None
