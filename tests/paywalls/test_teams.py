import io
import sys

import pytest

from config.kit import ids
from paywalls import teams
from paywalls.models import Change, Membership, User
from paywalls.teams import Right
from tests.factories import DeveloperFactory, MembershipFactory
from tests.support.commands import refusal, run_json

VIEWER = {Right.READ}
DEVELOPER = VIEWER | {Right.CONFIGURE, Right.MANAGE_KEYS}
ADMIN = DEVELOPER | {Right.MOVE_MONEY, Right.MANAGE_MEMBERS}
OWNER = ADMIN | {Right.MANAGE_PAYOUTS, Right.DELETE_TEAM}


@pytest.mark.parametrize(
    ("role", "rights"),
    [("viewer", VIEWER), ("developer", DEVELOPER), ("admin", ADMIN), ("owner", OWNER), ("", set())],
)
def test_a_role_may_exactly_this(role, rights):
    assert {right for right in Right if teams.may(role, right)} == rights


def test_every_role_has_its_rights():
    assert set(teams.RIGHTS) == set(Membership.Role.values)


def email():
    return f"{ids.uuid7().hex}@example.test"


class TestCreateDeveloper:
    def test_shows_a_generated_password_once(self):
        facts = run_json("create_developer", email(), "--name", "Ann", "--team", "Acme")
        user = User.objects.get(email=facts["email"])
        assert user.check_password(facts["password"])
        assert (user.name, user.is_staff) == ("Ann", False)
        membership = Membership.objects.get(user=user)
        assert (membership.role, membership.team.name) == ("owner", "Acme")
        assert Change.objects.filter(subject=facts["id"], action="developer.created").exists()

    def test_reads_the_password_from_stdin(self, monkeypatch):
        monkeypatch.setattr(sys, "stdin", io.StringIO("correct horse battery\n"))
        facts = run_json("create_developer", email(), "--password-stdin", "--staff")
        user = User.objects.get(email=facts["email"])
        assert user.check_password("correct horse battery")
        assert user.is_staff
        assert user.is_superuser
        assert "password" not in facts

    def test_reads_the_password_from_the_environment(self, monkeypatch):
        monkeypatch.setenv("DEVELOPER_PASSWORD", "correct horse battery")
        facts = run_json("create_developer", email())
        assert User.objects.get(email=facts["email"]).check_password("correct horse battery")

    def test_refuses_a_weak_password(self, monkeypatch):
        monkeypatch.setenv("DEVELOPER_PASSWORD", "password")
        address = email()
        assert "too common" in refusal("create_developer", address)
        assert not User.objects.filter(email=address).exists()

    def test_refuses_what_is_no_address_or_known(self):
        assert refusal("create_developer", "nobody").startswith("email: ")
        known = DeveloperFactory()
        assert "already" in refusal("create_developer", known.email.upper())


class TestSetMember:
    def test_gives_changes_and_takes_a_role(self):
        team, user = MembershipFactory().team, DeveloperFactory()
        args = (ids.encode("team", team.pk), user.email)
        assert run_json("set_member", *args, "--role", "viewer")["role"] == "viewer"
        assert run_json("set_member", *args, "--role", "admin")["role"] == "admin"
        assert run_json("set_member", *args, "--remove")["role"] is None

    def test_a_team_keeps_an_owner(self):
        owner = MembershipFactory()
        args = (ids.encode("team", owner.team.pk), owner.user.email)
        assert "needs an owner" in refusal("set_member", *args, "--remove")
        assert "needs an owner" in refusal("set_member", *args, "--role", "viewer")
        assert refusal("set_member", *args, "--role", "king").startswith("--role: ")
        assert refusal("set_member", *args).startswith("--role: ")
