"""Shared mode: people allow a paywall's user to spend of their wallet, within terms of their own.

A refusal of the gate makes a request; its link stays the same for that user and changes nothing.
Behind a login an approval is minted for one request and one person, and only that says yes. The
gate reads grants for each request, so what is written here holds for the next one at once; what
runs keeps its hold. Everything works in the caller's transaction.
"""

import datetime as dt
import hashlib
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import UUID

from django.db import connection
from django.db.models.functions import Now

from config.kit import clock
from config.kit.db import require_transaction
from config.kit.errors import InvalidRequestError
from config.kit.limits import APPROVAL_S
from config.kit.money import AMOUNT_NANOS_MAX
from paywalls import audit, links
from paywalls.errors import (
    ApprovalExpiredError,
    ApprovalForeignError,
    ApprovalUsedError,
    GrantClosedError,
    GrantStandsError,
)
from paywalls.models import Approval, EndUser, Grant, GrantRequest, Person

Period = Literal["day", "week", "month", "total"]
State = GrantRequest.State

REASON_CHARS_MAX: Final = 200
TOKEN_BYTES: Final = 32
RELATED: Final = ("paywall__team", "end_user")


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantTerms:
    """What may be spent. Amounts in nanos; periods are the paywall's calendar.

    request_most_nanos: what one request may set aside, None: as much as the cap.
    ends_at: when the grant ends by itself, None: when it is withdrawn.
    """

    cap_nanos: int
    cap_period: Period
    request_most_nanos: int | None = None
    ends_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """A grant with what it has spent in its period, holds of running requests included."""

    grant: Grant
    spent_nanos: int

    @property
    def left_nanos(self) -> int:
        return max(self.grant.cap - self.spent_nanos, 0)


def find_request(token: str) -> GrantRequest | None:
    """The newest request behind an entry link; None for a text that is no link of ours."""
    user_id = links.read_authorize_token(token)
    if user_id is None:
        return None
    requests = GrantRequest.objects.select_related(*RELATED).filter(end_user=user_id)
    return requests.order_by("-id").first()


def standing(user: EndUser) -> Grant | None:
    """The grant of this user that is not withdrawn; it may be paused, or past its end."""
    return (
        Grant.objects.select_related("person", *RELATED)
        .filter(end_user=user, revoked_at=None)
        .first()
    )


def grants_of(person: Person, *, livemode: bool) -> list[Granted]:
    """All grants of a person that are not withdrawn, the newest first."""
    found = Grant.objects.select_related(*RELATED).filter(
        person=person, livemode=livemode, revoked_at=None
    )
    return with_spent(found.order_by("-id"))


def with_spent(grants: Iterable[Grant]) -> list[Granted]:
    """The same grants, with what they have spent."""
    found = list(grants)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT o_grant, o_spent FROM billing_grants_spent(%s)", [[each.pk for each in found]]
        )
        spent: dict[UUID, int] = dict(cursor.fetchall())
    return [Granted(grant=each, spent_nanos=spent.get(each.pk, 0)) for each in found]


def mint(request: GrantRequest, person: Person) -> str:
    """A new approval's token, good once, for this person and request, for APPROVAL_S seconds.

    Where the request was answered meanwhile, it is for a new one of the same user.
    Raises: GrantClosedError.
    """
    require_transaction()
    request = _pending(request)
    _check_open(request)
    token = secrets.token_urlsafe(TOKEN_BYTES)
    Approval.objects.create(
        request=request,
        person=person,
        token_hash=_digest(token),
        expires_at=Now() + dt.timedelta(seconds=APPROVAL_S),
    )
    return token


def approve(
    token: str, person: Person, terms: GrantTerms, *, consent: Mapping[str, object]
) -> Grant:
    """Use an approval up and let its user spend from now on.

    consent: what the person was shown, such as the versions of terms and fee; no personal data.
    Raises: ApprovalUsedError, ApprovalExpiredError, ApprovalForeignError, GrantStandsError,
        GrantClosedError; InvalidRequestError for terms that cannot be.
    """
    require_transaction()
    check_terms(terms)
    request = _use(token, person)
    _check_open(request)
    user = EndUser.objects.select_for_update(no_key=True).get(pk=request.end_user_id)
    _clear_ended(user)
    _close(request, State.APPROVED, person=person)
    grant = Grant.objects.create(
        paywall=request.paywall,
        end_user=user,
        person=person,
        request=request,
        livemode=user.livemode,
        consent=dict(consent),
        **_columns(terms),
    )
    after = {**facts(grant), "consent": dict(consent)}
    _note(grant, "grant.approved", actor=person.public_id, after=after)
    return grant


def decline(request: GrantRequest, person: Person | None, reason: str) -> None:
    """Say no to a request that is pending; one that was answered stays as it is."""
    require_transaction()
    locked = GrantRequest.objects.select_for_update(no_key=True).get(pk=request.pk)
    if locked.state == State.PENDING:
        _close(locked, State.DECLINED, person=person, reason=reason[:REASON_CHARS_MAX])


def pause(grant: Grant, person: Person) -> Grant:
    """Let nothing be spent until it is resumed.

    Raises: GrantClosedError; ApprovalForeignError for somebody else's.
    """
    return _set(grant, person, "grant.paused", paused_at=clock.now())


def resume(grant: Grant, person: Person) -> Grant:
    """Let a paused grant spend again.

    Raises: GrantClosedError; ApprovalForeignError for somebody else's.
    """
    return _set(grant, person, "grant.resumed", paused_at=None)


def change(grant: Grant, person: Person, terms: GrantTerms) -> Grant:
    """Other terms from now on. What was spent in the new period counts.

    Raises: GrantClosedError; ApprovalForeignError for somebody else's; InvalidRequestError.
    """
    check_terms(terms)
    return _set(grant, person, "grant.changed", **_columns(terms))


def revoke(grant: Grant, *, actor: str) -> Grant:
    """Withdraw a grant for good; one that is withdrawn already stays as it is.

    actor: a person's or key's public id, or `command:<login>`.
    """
    require_transaction()
    locked = _locked(grant)
    if locked.revoked_at is not None:
        return locked
    locked.revoked_at, locked.revoked_by = clock.now(), actor
    locked.save(update_fields=["revoked_at", "revoked_by"])
    _note(locked, "grant.revoked", actor=actor)
    return locked


def check_terms(terms: GrantTerms) -> None:
    """Raises: InvalidRequestError, naming the field."""
    if not 0 < terms.cap_nanos <= AMOUNT_NANOS_MAX:
        raise InvalidRequestError("The limit must be above 0.", param="cap")
    if terms.cap_period not in Grant.Period.values:
        raise InvalidRequestError("The period is day, week, month or total.", param="cap_period")
    most = terms.request_most_nanos
    if most is not None and not 0 < most <= AMOUNT_NANOS_MAX:
        raise InvalidRequestError(
            "The limit for one request must be above 0, or left empty.", param="request_most"
        )
    if terms.ends_at is not None and terms.ends_at <= clock.now():
        raise InvalidRequestError("The last day must be in the future.", param="ends_at")


def facts(grant: Grant) -> dict[str, object]:
    """A grant's terms, as the audit trail and commands show them."""
    return {
        "cap": grant.cap,
        "cap_period": grant.cap_period,
        "request_most": grant.request_most,
        "ends_at": clock.wire(grant.ends_at) if grant.ends_at else None,
        "paused": grant.paused_at is not None,
    }


def _pending(request: GrantRequest) -> GrantRequest:
    """The pending request of the same user, made where there is none."""
    user = EndUser.objects.select_for_update(no_key=True).get(pk=request.end_user_id)
    found, _ = GrantRequest.objects.select_related(*RELATED).get_or_create(
        end_user=user, state=State.PENDING, defaults={"paywall_id": request.paywall_id}
    )
    return found


def _check_open(request: GrantRequest) -> None:
    if request.paywall.archived_at or request.end_user.erased_at or request.end_user.blocked_at:
        raise GrantClosedError("This app does not take part any more: nothing can be allowed.")


def _use(token: str, person: Person) -> GrantRequest:
    """The request of an approval, which is used up."""
    found = (
        Approval.objects.select_for_update(no_key=True, of=("self",))
        .select_related("request__paywall", "request__end_user")
        .annotate(now=Now())
        .filter(token_hash=_digest(token))
        .first()
    )
    if found is None:
        raise ApprovalExpiredError("This approval is not good any more: open the link again.")
    if found.person_id != person.pk:
        raise ApprovalForeignError("This approval was made for somebody else: open the link again.")
    if found.used_at is not None or found.request.state != State.PENDING:
        raise ApprovalUsedError("This approval was used before: open the link again.")
    if found.expires_at <= found.now:
        raise ApprovalExpiredError("This approval is too old: open the link again.")
    if person.closed_at is not None:
        raise GrantClosedError("This wallet is closed.")
    found.used_at = clock.now()
    found.save(update_fields=["used_at"])
    return found.request


def _clear_ended(user: EndUser) -> None:
    """Make room for a new grant where the old one is past its end."""
    old = standing(user)
    if old is None:
        return
    if old.ends_at is None or old.ends_at > clock.now():
        raise GrantStandsError("A wallet pays for this user already: withdraw that first.")
    revoke(old, actor="system:ended")


def _close(request: GrantRequest, state: State, *, person: Person | None, reason: str = "") -> None:
    request.state, request.person, request.reason = state, person, reason
    request.closed_at = clock.now()
    request.save(update_fields=["state", "person", "reason", "closed_at"])


def _set(grant: Grant, person: Person, action: str, **values: Any) -> Grant:
    require_transaction()
    locked = _locked(grant)
    if locked.person_id != person.pk:
        raise ApprovalForeignError("This app spends from somebody else's wallet.")
    if locked.revoked_at is not None:
        raise GrantClosedError("This app was withdrawn: it can ask again.")
    before = facts(locked)
    for name, value in values.items():
        setattr(locked, name, value)
    locked.save(update_fields=list(values))
    _note(locked, action, actor=person.public_id, before=before, after=facts(locked))
    return locked


def _locked(grant: Grant) -> Grant:
    rows = Grant.objects.select_for_update(no_key=True, of=("self",))
    return rows.select_related("person", *RELATED).get(pk=grant.pk)


def _columns(terms: GrantTerms) -> dict[str, Any]:
    return {
        "cap": terms.cap_nanos,
        "cap_period": terms.cap_period,
        "request_most": terms.request_most_nanos,
        "ends_at": terms.ends_at,
    }


def _note(
    grant: Grant, action: str, *, actor: str, before: audit.Facts = None, after: audit.Facts = None
) -> None:
    """Not under the paywall: what people allow is no version of its configuration."""
    audit.record(
        paywall=None,
        actor=actor,
        action=action,
        subject=grant.public_id,
        before=before,
        after=after,
    )


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
