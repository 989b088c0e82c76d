"""Where a team's earnings go. Only its owners say so, and a new destination waits."""

import datetime as dt
from typing import Any

import structlog
from django.db import transaction
from django.db.models.functions import Now

from billing.stripe import transfers
from billing.stripe.errors import StripeBusyError
from billing.withdrawals import bank, terms
from billing.withdrawals.models import Destination
from billing.withdrawals.registry import adapter_of
from billing.withdrawals.requests import require_right
from config.kit import clock
from config.kit.db import forbid_transaction, require_transaction
from config.kit.errors import InvalidRequestError, PaywallsError
from paywalls import audit, notices
from paywalls.models import Team, User
from paywalls.teams import Right

log = structlog.get_logger(__name__)


def set_bank(
    team: Team,
    account: bank.BankAccount,
    *,
    livemode: bool,
    actor: str,
    by: User | None = None,
) -> Destination:
    """A bank account from now on, in the caller's transaction.

    Raises: NotAllowedError.
    """
    require_right(by, team, Right.MANAGE_PAYOUTS)
    made = Destination(
        team=team, livemode=livemode, kind=Destination.Kind.BANK, label=account.label
    )
    made.sealed = bank.seal(made, account)
    return _replace(made, actor)


def set_stripe(
    team: Team, *, livemode: bool, actor: str, country: str, by: User | None = None
) -> tuple[Destination, str]:
    """A new Stripe account, connected to the platform's, and the link under which its owner answers
    Stripe's questions; until then nothing can be paid to it.

    Raises: NotAllowedError, PayoutsUnavailableError, StripeFailedError.
    """
    forbid_transaction()
    require_right(by, team, Right.MANAGE_PAYOUTS)
    made = Destination(team=team, livemode=livemode, kind=Destination.Kind.STRIPE)
    account_id = transfers.open_account(made, country=country)
    made.label, made.facts = f"Stripe {account_id}", {"account": account_id}
    made.trouble = "Stripe has questions first: open the link."
    with transaction.atomic():
        _replace(made, actor)
    return made, onboarding_link(made)


def onboarding_link(destination: Destination) -> str:
    """A link that works once, for some minutes.

    Raises: InvalidRequestError, PayoutsUnavailableError, StripeFailedError.
    """
    if destination.kind != Destination.Kind.STRIPE:
        raise InvalidRequestError("A bank account has no link: it is ready.")
    return transfers.onboarding_link(destination)


def check(destination: Destination) -> Destination:
    """Ask again whether it can be paid to; what is wrong is kept with it.

    Raises: PaywallsError when nobody can be asked now.
    """
    forbid_transaction()
    destination.trouble = adapter_of(destination).check(destination)[:200]
    destination.checked_at = clock.now()
    destination.save(update_fields=["trouble", "checked_at"])
    return destination


def check_all(*, only_new: bool = False) -> int:
    """Every active one, or those of which there is news; returns how many have trouble."""
    rows = Destination.objects.filter(is_active=True).select_related("team")
    troubled = 0
    for destination in rows.filter(checked_at=None) if only_new else rows:
        try:
            troubled += bool(check(destination).trouble)
        except StripeBusyError:
            log.warning("destination.not_checked", at=destination.public_id)
        except PaywallsError as error:
            log.warning("destination.not_checked", at=destination.public_id, error=error.code)
            rows.filter(pk=destination.pk).update(checked_at=clock.now())
    return troubled


def set_schedule(
    destination: Destination, schedule: str, *, actor: str, by: User | None = None
) -> Destination:
    """When earnings are withdrawn by themselves, in the caller's transaction.

    Raises: NotAllowedError, InvalidRequestError.
    """
    require_transaction()
    require_right(by, destination.team, Right.MANAGE_PAYOUTS)
    if schedule not in Destination.Schedule.values:
        raise InvalidRequestError(
            f"Choose from {', '.join(Destination.Schedule.values)}.", param="schedule"
        )
    before, destination.schedule = destination.schedule, Destination.Schedule(schedule)
    destination.save(update_fields=["schedule"])
    _record(destination, "destination.scheduled", actor, before={"schedule": before})
    return destination


def active(team: Team, *, livemode: bool) -> Destination | None:
    """The one in use."""
    rows = Destination.objects.select_related("team")
    return rows.filter(team=team, livemode=livemode, is_active=True).first()


def usable_at(destination: Destination) -> dt.datetime:
    """Before this nothing is paid to it, by the terms in force."""
    hours = terms.in_force().destination_delay_hours
    return destination.created_at + dt.timedelta(hours=hours)


def _replace(made: Destination, actor: str) -> Destination:
    """In the caller's transaction. The team is locked, so that of two one follows the other."""
    require_transaction()
    Team.objects.select_for_update(no_key=True).get(pk=made.team_id)
    before = active(made.team, livemode=made.livemode)
    made.created_by = actor
    if before is not None:
        made.schedule = before.schedule
        Destination.objects.filter(pk=before.pk).update(is_active=False)
    made.save(force_insert=True)
    # The delay is counted by the database's clock.
    Destination.objects.filter(pk=made.pk).update(created_at=Now())
    made.refresh_from_db(fields=["created_at"])
    _record(made, "destination.set", actor, before={"destination": str(before)} if before else None)
    notices.tell_owners(
        made.team,
        subject=f"Earnings of {made.team.name} go to another destination",
        text=f"{actor} chose {made}. Nothing is paid there before {usable_at(made):%Y-%m-%d %H:%M}"
        " UTC. If it was none of you, choose the right one now and change your passwords.",
    )
    return made


def _record(
    destination: Destination, action: str, actor: str, *, before: dict[str, Any] | None
) -> None:
    audit.record(
        paywall=None,
        actor=actor,
        action=action,
        subject=destination.public_id,
        before=before,
        after={
            "destination": str(destination),
            "schedule": destination.schedule,
            "livemode": destination.livemode,
        },
    )
