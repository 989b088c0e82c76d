"""Withdrawals: ask for one, approve it, end it. Money and state move in one SQL function."""

import hashlib
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

import orjson
from django.conf import settings
from django.db import connection, transaction, utils

from billing.errors import IdempotencyMismatchError
from billing.stripe.amounts import MOST_MINOR, nanos_of_minor
from billing.webhooks.events import Event
from billing.webhooks.outbox import emit
from billing.withdrawals import errors
from billing.withdrawals.adapters import Outcome
from billing.withdrawals.models import Destination, Withdrawal
from billing.withdrawals.registry import adapter_of
from config.kit import ids
from config.kit.db import forbid_transaction, require_transaction
from config.kit.errors import InvalidRequestError, PaywallsError
from config.kit.limits import IDEMPOTENCY_KEY_CHARS_MAX
from config.kit.money import AMOUNT_NANOS_MAX, format_nanos
from paywalls import audit, notices, teams
from paywalls.models import Paywall, Team, User

State = Withdrawal.State

TOLD: Final = {State.PAID.value: "paid", State.FAILED.value: "failed"}


def request(
    team: Team,
    amount_nanos: int | None,
    *,
    livemode: bool,
    actor: str,
    by: User | None = None,
    key: str | None = None,
) -> Withdrawal:
    """Set earnings aside for a withdrawal to the team's destination, in the caller's transaction.

    amount_nanos: None for all there is. by: the developer who asks; None for the operator. key: the
    same one again answers the first withdrawal, for ever.
    Raises: InvalidRequestError, NotAllowedError, InsufficientEarningsError,
    WithdrawalTooSmallError, NoDestinationError, IdempotencyMismatchError.
    """
    require_transaction()
    require_right(by, team, teams.Right.MOVE_MONEY)
    minor = nanos_of_minor(settings.PLATFORM_CURRENCY)
    _check(amount_nanos, minor, key)
    said = f"{amount_nanos}".encode()
    answer = _called(
        "SELECT billing_withdraw(%s::jsonb)::text",
        id=ids.uuid7(),
        txn=ids.uuid7(),
        team=team.pk,
        live=livemode,
        cur=settings.PLATFORM_CURRENCY,
        amount=amount_nanos,
        most=MOST_MINOR * minor,
        minor=minor,
        destination=_destination(team, livemode=livemode),
        key=key,
        print=hashlib.sha256(said).hexdigest() if key else None,
        actor=actor,
    )
    if answer["outcome"] != "requested":
        raise _refusal(answer)
    made = find(UUID(answer["id"]))
    if not answer["replayed"]:
        _tell(made, "requested", actor)
    return made


def approve(withdrawal: Withdrawal, *, actor: str, by: User | None = None) -> Withdrawal:
    """Somebody else than who asked lets it be paid, in the caller's transaction.

    Raises: NotAllowedError, SecondPersonError, WithdrawalStateError.
    """
    require_right(by, withdrawal.team, teams.Right.MOVE_MONEY)
    return move(withdrawal, State.APPROVED, actor=actor)


def cancel(
    withdrawal: Withdrawal, *, actor: str, reason: str = "", by: User | None = None
) -> Withdrawal:
    """Take it back. One that is on its way is stopped where it is paid, if that still works.

    Raises: NotAllowedError; WithdrawalStateError when it cannot be stopped any more; PaywallsError
    when nobody can be asked now.
    """
    forbid_transaction()
    require_right(by, withdrawal.team, teams.Right.MOVE_MONEY)
    if withdrawal.state != State.SENT:
        with transaction.atomic():
            return move(withdrawal, State.CANCELLED, actor=actor, reason=reason)
    outcome = adapter_of(withdrawal.destination).cancel(withdrawal)
    ended = record(withdrawal, outcome, actor=actor)
    if ended.state != State.FAILED:
        raise errors.WithdrawalStateError("It is on its way and cannot be stopped any more.")
    return ended


def record(withdrawal: Withdrawal, outcome: Outcome, *, actor: str) -> Withdrawal:
    """Write down what became of a payment, and move the money if it ended."""
    with transaction.atomic():
        if withdrawal.state == State.PAID and outcome.state == "sent":
            return withdrawal  # Older news than what is known.
        return move(
            withdrawal,
            State(outcome.state),
            actor=actor,
            reason=outcome.reason,
            facts=outcome.facts,
            next_s=outcome.next_s,
        )


def move(
    withdrawal: Withdrawal,
    to: Withdrawal.State,
    *,
    actor: str,
    reason: str = "",
    facts: Mapping[str, object] | None = None,
    next_s: int | None = None,
) -> Withdrawal:
    """Move a withdrawal on, in the caller's transaction; once it is there, nothing more happens.

    Raises: WithdrawalStateError, SecondPersonError.
    """
    require_transaction()
    answer = _called(
        "SELECT billing_withdrawal_move(%s::jsonb)::text",
        id=withdrawal.pk,
        to=to.value,
        txn=ids.uuid7(),
        actor=actor,
        reason=reason[:300],
        facts=dict(facts or {}),
        next_s=next_s,
    )
    match answer["outcome"]:
        case "same_person":
            raise errors.SecondPersonError(
                f"{actor} asked for this withdrawal: another person approves it."
            )
        case "wrong_state" | "not_found":
            raise errors.WithdrawalStateError(
                f"{withdrawal} is {answer.get('was', 'not there')}: it cannot be {to.value}."
            )
    moved = find(withdrawal.pk)
    if answer["outcome"] == "moved":
        _tell(moved, to.value, actor)
    return moved


def find(withdrawal_id: UUID) -> Withdrawal:
    """With its team and destination.

    Raises: UnknownWithdrawalError.
    """
    rows = Withdrawal.objects.select_related("team", "destination")
    found = rows.filter(pk=withdrawal_id).first()
    if found is None:
        raise errors.UnknownWithdrawalError("There is no withdrawal under this id.", param="id")
    return found


def require_right(by: User | None, team: Team, right: teams.Right) -> None:
    """Raises: NotAllowedError. Nobody in particular is the operator, who may."""
    if by is not None and not teams.may(teams.role_of(by, team), right):
        raise errors.NotAllowedError(f"Your role in {team.name} does not allow this.")


def _check(amount_nanos: int | None, minor: int, key: str | None) -> None:
    if amount_nanos is not None and not 0 < amount_nanos <= AMOUNT_NANOS_MAX:
        raise InvalidRequestError("An amount above 0 such as 12.50.", param="amount")
    if amount_nanos is not None and amount_nanos % minor:
        raise InvalidRequestError(
            f"The smallest step is {format_nanos(minor)}: nothing smaller can be paid.",
            param="amount",
        )
    if key is not None and not 0 < len(key) <= IDEMPOTENCY_KEY_CHARS_MAX:
        raise InvalidRequestError(
            f"A key has 1 to {IDEMPOTENCY_KEY_CHARS_MAX} characters.", param="key"
        )


def _destination(team: Team, *, livemode: bool) -> UUID | None:
    """Raises: NoDestinationError for one that cannot be paid to yet."""
    found = Destination.objects.filter(team=team, livemode=livemode, is_active=True).first()
    if found is not None and found.trouble:
        raise errors.NoDestinationError(f"{found} is not ready. {found.trouble}")
    return found.pk if found else None


def _refusal(answer: Mapping[str, Any]) -> PaywallsError:
    if answer["outcome"] == "insufficient":
        return errors.InsufficientEarningsError(
            f"{format_nanos(answer['available'])} can be withdrawn now; what is pending, reserved"
            " or owed cannot.",
            param="amount",
        )
    if answer["outcome"] == "below_minimum":
        return errors.WithdrawalTooSmallError(
            f"A withdrawal is at least {format_nanos(answer['minimum'])}, and more than its fee;"
            f" {format_nanos(answer['available'])} can be withdrawn now.",
            param="amount",
        )
    return errors.NoDestinationError("Say first where earnings go: set_destination.")


def _tell(withdrawal: Withdrawal, became: str, actor: str) -> None:
    """The audit trail, the team's Shared paywalls, and its owners."""
    facts = {
        "withdrawalId": withdrawal.pk,
        "amount": withdrawal.amount,
        "currency": withdrawal.currency.lower(),
    }
    audit.record(
        paywall=None,
        actor=actor,
        action=f"withdrawal.{became}",
        subject=withdrawal.public_id,
        after={"amount": format_nanos(withdrawal.amount), "reason": withdrawal.reason},
    )
    if became in {"requested", *TOLD.values()}:
        for paywall in Paywall.objects.filter(
            team=withdrawal.team, mode=Paywall.Mode.SHARED, archived_at=None
        ):
            emit(
                paywall,
                Event(
                    type=f"paywall.withdrawal.{became}",
                    livemode=withdrawal.livemode,
                    source="dashboard",
                    actor=actor,
                    facts=facts,
                ),
            )
        shown = f"{format_nanos(withdrawal.amount)} {withdrawal.currency}"
        notices.tell_owners(
            withdrawal.team,
            subject=f"Withdrawal of {shown}: {became}",
            text=f"{withdrawal.public_id} to {withdrawal.destination} is {became}, by {actor}.",
        )


def _called(query: str, **facts: object) -> dict[str, Any]:
    text = orjson.dumps(facts).decode()
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(query, [text])
            (text,) = cursor.fetchone()
    except utils.DatabaseError as error:
        if getattr(error.__cause__, "sqlstate", None) == "PW002":
            raise IdempotencyMismatchError(
                "This key was used for another withdrawal.", param="key"
            ) from error
        raise
    answer: dict[str, Any] = orjson.loads(text)
    return answer
