"""Developers, their teams, and what a role may do."""

from enum import StrEnum
from typing import Final

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from config.kit import ids
from config.kit.db import require_transaction
from config.kit.errors import InvalidRequestError
from config.kit.text import read_name
from paywalls import audit
from paywalls.models import Membership, Team, User

Role = Membership.Role


class Right(StrEnum):
    """Something a role may or may not do."""

    READ = "read"
    CONFIGURE = "configure"
    MANAGE_KEYS = "manage_keys"
    MOVE_MONEY = "move_money"
    MANAGE_MEMBERS = "manage_members"
    MANAGE_PAYOUTS = "manage_payouts"
    DELETE_TEAM = "delete_team"


_READS: Final = frozenset({Right.READ})
_DEVELOPS: Final = _READS | {Right.CONFIGURE, Right.MANAGE_KEYS}
RIGHTS: Final[dict[str, frozenset[Right]]] = {
    Role.VIEWER.value: _READS,
    Role.DEVELOPER.value: _DEVELOPS,
    Role.ADMIN.value: _DEVELOPS | {Right.MOVE_MONEY, Right.MANAGE_MEMBERS},
    Role.OWNER.value: frozenset(Right),
}


def may(role: str, right: Right) -> bool:
    """Whether a role has a right. Pure."""
    return right in RIGHTS.get(role, frozenset())


def create_developer(
    email: str,
    password: str,
    *,
    name: str = "",
    team_name: str = "",
    is_staff: bool = False,
    actor: str,
) -> tuple[User, Team]:
    """A developer with a team of their own, in the caller's transaction.

    is_staff: one of the operator's people, who may use the admin site.
    Raises: InvalidRequestError for a malformed or known e-mail address, or a weak password.
    """
    require_transaction()
    email = User.objects.normalize_email(email)
    _check_email(email)
    if User.objects.filter(email=email).exists():
        raise InvalidRequestError(f"There is a developer {email} already.", param="email")
    name = read_name(name, param="name") if name else ""
    _check_password(password, User(email=email, name=name))
    user = User.objects.create_user(
        email, password, name=name, is_staff=is_staff, is_superuser=is_staff
    )
    team = create_team(team_name or name or email.partition("@")[0], owner=user, actor=actor)
    audit.record(
        paywall=None,
        actor=actor,
        action="developer.created",
        subject=ids.encode("dev", user.pk),
        after={"team": ids.encode("team", team.pk), "is_staff": is_staff},
    )
    return user, team


def _check_email(email: str) -> None:
    try:
        validate_email(email)
    except ValidationError:
        raise InvalidRequestError(f"{email!r} is not an e-mail address.", param="email") from None


def _check_password(password: str, user: User) -> None:
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise InvalidRequestError(" ".join(error.messages), param="password") from None


def create_team(name: str, *, owner: User, actor: str) -> Team:
    """A team with its owner, in the caller's transaction.

    Raises: InvalidRequestError for a name that is empty or too long.
    """
    require_transaction()
    team = Team.objects.create(name=read_name(name, param="team"))
    Membership.objects.create(team=team, user=owner, role=Role.OWNER)
    _note(team, owner, actor, before=None, after=Role.OWNER)
    return team


def set_role(team: Team, user: User, role: str, *, actor: str) -> Membership:
    """Take a developer into a team, or change the role, in the caller's transaction.

    Raises: InvalidRequestError for an unknown role, or when no owner would be left.
    """
    if role not in Role.values:
        raise InvalidRequestError(
            f"{role!r} is not a role: choose from {', '.join(Role.values)}.", param="role"
        )
    known = _membership(team, user)
    if known and known.role == role:
        return known
    if known:
        _require_other_owner(known)
    membership, _ = Membership.objects.update_or_create(
        team=team, user=user, defaults={"role": role}
    )
    _note(team, user, actor, before=known.role if known else None, after=role)
    return membership


def remove_member(team: Team, user: User, *, actor: str) -> None:
    """Take a developer out of a team, in the caller's transaction.

    Raises: InvalidRequestError when no owner would be left.
    """
    membership = _membership(team, user)
    if membership is None:
        return
    _require_other_owner(membership)
    membership.delete()
    _note(team, user, actor, before=membership.role, after=None)


def role_of(user: User, team: Team) -> str:
    """The role of a developer in a team; empty when there is none."""
    return (
        Membership.objects.filter(team=team, user=user).values_list("role", flat=True).first() or ""
    )


def _membership(team: Team, user: User) -> Membership | None:
    """The membership; the team is locked, so that two owners cannot leave at once."""
    require_transaction()
    Team.objects.select_for_update(no_key=True).get(pk=team.pk)
    return Membership.objects.filter(team=team, user=user).first()


def _require_other_owner(membership: Membership) -> None:
    owners = Membership.objects.filter(team=membership.team_id, role=Role.OWNER)
    if membership.role == Role.OWNER and not owners.exclude(pk=membership.pk).exists():
        raise InvalidRequestError("A team needs an owner: name another one first.", param="role")


def _note(team: Team, user: User, actor: str, *, before: str | None, after: str | None) -> None:
    developer = ids.encode("dev", user.pk)
    audit.record(
        paywall=None,
        actor=actor,
        action="member.set" if after else "member.removed",
        subject=ids.encode("team", team.pk),
        before={"developer": developer, "role": before} if before else None,
        after={"developer": developer, "role": after} if after else None,
    )
