"""Money that people move by hand: deposits, bonuses, adjustments, charges, refunds.

The sync door for commands, admin and dashboard; each call is one SQL function and books at once.
Everyone says who and why: `actor` and `reason` are kept with the transaction. `ref` makes a call
repeatable: the same one again returns the first movement.
"""

import datetime as dt
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import UUID

import orjson
from django.db import connection, utils

from billing import wire
from billing.errors import (
    WALLET_FULL,
    IdempotencyMismatchError,
    InsufficientFundsError,
    MovementRefusedError,
    RefundTooLargeError,
    UnknownChargeError,
)
from billing.types import Movement
from billing.users import trial_of
from config.kit import ids
from config.kit.errors import InvalidRequestError, PaywallsError
from config.kit.money import AMOUNT_NANOS_MAX, format_nanos
from paywalls.decisions import Decision, NeedsTopUp, Repeated
from paywalls.models import Paywall

OTHER_MOVEMENT: Final = "This reference was used for another movement."


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Who moves money, why, and under which reference (None: not repeatable)."""

    actor: str
    reason: str
    ref: str | None = None
    metadata: Mapping[str, object] | None = None


def deposit(
    paywall: Paywall,
    user: str,
    amount_nanos: int,
    why: Reason,
    *,
    livemode: bool = True,
    expires_at: dt.datetime | None = None,
) -> Movement:
    """Credits money that was paid outside.

    Raises: InvalidRequestError, IdempotencyMismatchError.
    """
    more = {"kind": "deposit", "from": "external", "expires": expires_at, "source": "dashboard"}
    return _credit(paywall, user, amount_nanos, why, livemode=livemode, more=more)


def bonus(
    paywall: Paywall,
    user: str,
    amount_nanos: int,
    why: Reason,
    *,
    livemode: bool = True,
    expires_at: dt.datetime | None = None,
) -> Movement:
    """Gives money away: booked against the paywall's promo account, spent before paid money.

    Raises: InvalidRequestError, IdempotencyMismatchError.
    """
    more = {"kind": "bonus", "from": "promo", "expires": expires_at}
    return _credit(paywall, user, amount_nanos, why, livemode=livemode, more=more)


def adjust(
    paywall: Paywall, user: str, amount_nanos: int, why: Reason, *, livemode: bool = True
) -> Movement:
    """Corrects a balance up or down. What is not there to take becomes a receivable that later
    credits pay first; the wallet never falls below its floor.

    Raises: InvalidRequestError, IdempotencyMismatchError.
    """
    more = {"kind": "adjustment", "from": "external"}
    if amount_nanos >= 0:
        return _credit(paywall, user, amount_nanos, why, livemode=livemode, more=more)
    movement = _object(paywall, user, -amount_nanos, why, "down", livemode=livemode) | more
    return _booked("SELECT billing_claw(%s::jsonb)::text", movement)


def charge(
    paywall: Paywall, user: str, amount_nanos: int, why: Reason, *, livemode: bool = True
) -> Movement:
    """A manual charge, all or nothing, outside any limit of the developer's.

    Raises: InvalidRequestError, InsufficientFundsError, IdempotencyMismatchError.
    """
    is_shared = paywall.mode == Paywall.Mode.SHARED
    movement = _object(paywall, user, amount_nanos, why, livemode=livemode)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {'billing_parties' if is_shared else 'billing_revenue'}(%s, %s)",
            [paywall.id, livemode],
        )
        (found,) = cursor.fetchone()
    movement |= wire.earning_object(found if is_shared else [found])
    movement |= {
        "txn": movement["id"],
        "id": ids.uuid7(),
        "want": amount_nanos,
        "least": amount_nanos,
        "zone": paywall.timezone,
        "metadata": {"actor": why.actor, "reason": why.reason, **(why.metadata or {})},
    }
    call = "billing_shared_charge_one" if is_shared else "billing_charge_one"
    return _booked(f"SELECT {call}(%s::jsonb)::text", movement)


def refund(charge_id: UUID, amount_nanos: int, why: Reason) -> Movement:
    """Gives back (part of) a charge. All refunds of one charge never pass it.

    Raises: InvalidRequestError, UnknownChargeError, RefundTooLargeError.
    """
    movement = _signed(amount_nanos, why, charge_id) | {"charge": charge_id}
    return _booked("SELECT billing_refund(%s::jsonb)::text", movement)


def topup(
    paywall: Paywall, user: str, amount_nanos: int, why: Reason, *, livemode: bool
) -> Movement:
    """Credits what was paid through Stripe. `why.ref`: the id of the session or payment.

    Raises: InvalidRequestError, IdempotencyMismatchError.
    """
    more = {"kind": "topup", "from": "processor", "source": "stripe"}
    return _credit(paywall, user, amount_nanos, why, livemode=livemode, more=more)


def cycle(
    paywall: Paywall,
    user: str,
    amount_nanos: int,
    why: Reason,
    *,
    livemode: bool,
    expires_at: dt.datetime | None = None,
) -> Movement:
    """Credits a cycle of a plan. `why.ref`: the id of the invoice, and the cycle.

    Raises: InvalidRequestError, IdempotencyMismatchError.
    """
    more = {"kind": "topup", "from": "processor", "expires": expires_at, "source": "plan"}
    return _credit(paywall, user, amount_nanos, why, livemode=livemode, more=more)


def reverse(
    paywall: Paywall,
    user: str,
    amount_nanos: int,
    why: Reason,
    *,
    livemode: bool,
    given: bool = False,
) -> Movement:
    """Takes back what a refund or a dispute took from the developer, or with a negative amount
    gives it again. What is not there to take becomes a receivable.

    given: it was a bonus, so it goes back to the paywall's promo account.
    Raises: InvalidRequestError, IdempotencyMismatchError.
    """
    more = {"kind": "reversal", "from": "promo" if given else "processor"}
    if amount_nanos > 0:
        movement = _object(paywall, user, amount_nanos, why, livemode=livemode) | more
        return _booked("SELECT billing_claw(%s::jsonb)::text", movement)
    # Nothing new has come in, so nobody is told of a deposit.
    quiet = more | {"tell": False}
    return _credit(paywall, user, -amount_nanos, why, livemode=livemode, more=quiet)


def credit_person(
    person_id: UUID,
    amount_nanos: int,
    why: Reason,
    *,
    kind: Literal["topup", "bonus", "adjustment"],
    livemode: bool,
    currency: str,
) -> Movement:
    """Credits a person's own wallet, made where there is none: paid to the operator, or a gift.

    `why.ref`: unique for the kind over all people, such as the id of a session at Stripe.
    Raises: InvalidRequestError, IdempotencyMismatchError.
    """
    sources = {"topup": "processor", "bonus": "promo", "adjustment": "external"}
    movement = _signed(amount_nanos, why, person_id, currency, livemode) | {
        "kind": kind,
        "from": sources[kind],
        "person": person_id,
        "live": livemode,
        "cur": currency,
        "metadata": why.metadata,
    }
    return _booked("SELECT billing_person_credit(%s::jsonb)::text", movement)


def _credit(
    paywall: Paywall,
    user: str,
    amount_nanos: int,
    why: Reason,
    *,
    livemode: bool,
    more: Mapping[str, object],
) -> Movement:
    said = more.get("expires") or ""
    movement = _object(paywall, user, amount_nanos, why, said, livemode=livemode) | dict(more)
    return _booked("SELECT billing_credit(%s::jsonb)::text", movement)


def _object(
    paywall: Paywall, user: str, amount_nanos: int, why: Reason, *said: object, livemode: bool
) -> dict[str, object]:
    return _signed(amount_nanos, why, paywall.id, user, *said) | {
        "paywall": paywall.id,
        "key": None,
        "live": livemode,
        "cur": paywall.currency,
        "user": user,
        "trial": trial_of(paywall),
        "metadata": why.metadata,
        "tell": True,
    }


def _signed(amount_nanos: int, why: Reason, *asked: object) -> dict[str, object]:
    """What every movement says: id, amount, reference, actor, reason.

    asked: what else must be the same for a reference to be the same movement.
    """
    if not 0 < amount_nanos <= AMOUNT_NANOS_MAX:
        raise InvalidRequestError(
            f"The amount {format_nanos(amount_nanos)} must be above 0 and at most"
            f" {format_nanos(AMOUNT_NANOS_MAX)}.",
            param="amount",
        )
    if not why.actor or not why.reason.strip():
        raise InvalidRequestError("Say who moves the money and why.", param="reason")
    transaction_id = ids.uuid7()
    said = "\n".join(str(part) for part in (*asked, amount_nanos, why.reason))
    return {
        "id": transaction_id,
        "amount": amount_nanos,
        "ref": why.ref or str(transaction_id),
        "print": hashlib.sha256(said.encode()).hexdigest() if why.ref else None,
        "actor": why.actor,
        "reason": why.reason,
    }


def _booked(query: str, movement: Mapping[str, object]) -> Movement:
    try:
        with connection.cursor() as cursor:
            cursor.execute(query, [orjson.dumps(movement).decode()])
            (text,) = cursor.fetchone()
    except utils.DatabaseError as error:
        raise _translated(error) from error
    answer: dict[str, Any] = orjson.loads(text)
    if answer["outcome"] == "not_found":
        raise UnknownChargeError("There is no charge under this id.", param="charge")
    booked = wire.movement_of(answer | {"user": answer.get("user", str(UUID(int=0)))})
    if isinstance(booked, Movement):
        return booked
    raise _refusal(booked)


def _refusal(decision: Decision) -> PaywallsError:
    if isinstance(decision, NeedsTopUp):
        return InsufficientFundsError(
            f"The wallet has {format_nanos(decision.balance_nanos)}; nothing was charged."
        )
    if isinstance(decision, Repeated):
        return IdempotencyMismatchError(OTHER_MOVEMENT)
    return MovementRefusedError(f"The movement was refused: {decision}.")


def _translated(error: utils.DatabaseError) -> Exception:
    state = getattr(error.__cause__, "sqlstate", None)
    if state == "PW002":
        return IdempotencyMismatchError(OTHER_MOVEMENT)
    if state == "PW003":
        return RefundTooLargeError("All refunds of this charge together would pass it.")
    if state == "PW004":
        return InvalidRequestError(
            "In Shared mode the money is a person's own: no paywall gives or takes it.",
            param="paywall",
        )
    if state == "22003":
        return InvalidRequestError(WALLET_FULL, param="amount")
    return error
