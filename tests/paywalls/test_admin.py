"""The admin site's pages: all open under the product's Content-Security-Policy, and change only
through the services.
"""

import re

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.urls import reverse

from config.kit import ids
from paywalls import keys
from paywalls.admin.base import ServiceAdmin
from paywalls.models import (
    ApiKey,
    Change,
    EndUser,
    Grant,
    GrantRequest,
    Limit,
    Membership,
    MessageTemplate,
    ModelAlias,
    Paywall,
    Person,
    PriceVersion,
    Team,
    User,
)
from tests.factories import (
    DeveloperFactory,
    EndUserFactory,
    MembershipFactory,
    PaywallFactory,
    PriceVersionFactory,
    TeamFactory,
    make_key,
)

MODELS = [model for model in admin.site._registry if model._meta.app_label == "paywalls"]
INLINE = re.compile(r"<script(?![^>]*\bsrc=)[^>]*>[^<]|\son[a-z]+=|\sstyle=|<style(?![^>]*nonce)")


@pytest.fixture
def staff():
    return DeveloperFactory(is_staff=True, is_superuser=True)


@pytest.fixture
def site(client, staff):
    client.force_login(staff)
    return client


def url(model, page, *args):
    return reverse(f"admin:paywalls_{model._meta.model_name}_{page}", args=args)


def act(site, rows, action):
    model = type(rows[0])
    data = {"action": action, "_selected_action": [str(row.pk) for row in rows]}
    return site.post(url(model, "changelist"), data, follow=True)


def last_change(paywall):
    return Change.objects.filter(paywall=paywall).order_by("-id").first()


def test_everything_of_this_app_is_shown():
    shown = {model.__name__ for model in MODELS}
    assert {model.__name__ for model in apps.get_app_config("paywalls").get_models()} - shown == {
        "Approval",
        "LoginCode",
        "Membership",
        "PersonSession",
    }, "memberships stand on their team's page; what lets somebody in is nobody's to see"


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
class TestPages:
    def test_list_opens_searches_and_has_no_inline_code(self, site, model):
        for query in ({}, {"q": "something"}):
            page = site.get(url(model, "changelist"), query)
            assert page.status_code == 200
            assert "nonce" in page["Content-Security-Policy"] or (
                "default-src 'none'" in page["Content-Security-Policy"]
            )
            assert not INLINE.search(page.content.decode())

    def test_form_opens_unless_nothing_is_made_by_hand(self, site, model):
        page = site.get(url(model, "add"))
        elsewhere = {Change, PriceVersion, EndUser, Grant, GrantRequest, Person}
        made_elsewhere = model in elsewhere or model.__name__ == "Rate"
        assert page.status_code == (403 if made_elsewhere else 200)
        assert not INLINE.search(page.content.decode())

    def test_nobody_deletes_what_has_a_history(self, site, model):
        page = admin.site._registry[model]
        removable = {Limit, ModelAlias, MessageTemplate}
        request = site.get("/admin/").wsgi_request
        assert page.has_delete_permission(request) is (model in removable)
        assert model is User or isinstance(page, ServiceAdmin)


class TestPaywall:
    def form(self, **changes):
        return {
            "name": "Made here",
            "description": "",
            "livemode": "on",
            "timezone": "UTC",
            "allowed_models": "[]",
            **changes,
        }

    def test_is_made_and_changed_with_an_audit_row(self, site, staff):
        team = TeamFactory()
        new = self.form(team=str(team.pk), mode="default", currency="EUR")
        site.post(url(Paywall, "add"), new)
        paywall = Paywall.objects.get(team=team)
        assert (paywall.currency, paywall.version) == ("EUR", 1)
        site.post(url(Paywall, "change", paywall.pk), self.form(name="Renamed", mode="shared"))
        paywall.refresh_from_db()
        assert (paywall.name, paywall.mode, paywall.version) == ("Renamed", "default", 2)
        change = last_change(paywall)
        assert change.actor == ids.encode("dev", staff.pk)
        assert (change.before, change.after) == ({"name": "Made here"}, {"name": "Renamed"})

    def test_a_refusal_is_a_message(self, site):
        paywall = PaywallFactory()
        page = site.post(
            url(Paywall, "change", paywall.pk), self.form(timezone="Mars/Base"), follow=True
        )
        assert "not a time zone" in page.content.decode()
        assert 'value="Mars/Base"' in page.content.decode(), "what was entered is kept"
        paywall.refresh_from_db()
        assert (paywall.timezone, paywall.version) == ("UTC", 1)

    def test_is_paused_resumed_and_archived(self, site):
        paywall = PaywallFactory()
        for action, state in (("pause", "paused_at"), ("archive", "archived_at")):
            act(site, [paywall], action)
            paywall.refresh_from_db()
            assert getattr(paywall, state)
        assert "archived" in act(site, [paywall], "resume").content.decode()


class TestKey:
    def form(self, paywall, **changes):
        lists = {"scopes": '["chat"]', "allowed_models": "[]"}
        return {"paywall": str(paywall.pk), "name": "new", **lists, **changes}

    def test_is_shown_once(self, site):
        paywall = PaywallFactory()
        page = site.post(url(ApiKey, "add"), self.form(paywall), follow=True).content.decode()
        text = re.search(r"sk-paywalls-v1-\w+", page)[0]
        assert keys.parse(text)
        assert ApiKey.objects.get(paywall=paywall).scopes == ["chat"]
        assert text not in site.get(url(ApiKey, "changelist")).content.decode()

    @pytest.mark.parametrize("scopes", ['"chat"', "[1]", '["nope"]', "{}"])
    def test_bad_scopes_are_refused(self, site, scopes):
        paywall = PaywallFactory()
        site.post(url(ApiKey, "add"), self.form(paywall, scopes=scopes))
        assert not ApiKey.objects.filter(paywall=paywall).exists()

    def test_cannot_be_edited(self, site):
        key, _ = make_key(PaywallFactory())
        page = url(ApiKey, "change", key.pk)
        assert site.get(page).status_code == 200
        assert site.post(page, self.form(key.paywall)).status_code == 403

    def test_is_revoked_and_rotated(self, site):
        key, _ = make_key(PaywallFactory())
        page = act(site, [key], "rotate").content.decode()
        assert keys.parse(re.search(r"sk-paywalls-v1-\w+", page)[0])
        act(site, [key], "revoke")
        key.refresh_from_db()
        assert key.revoked_at
        assert key.replaced_by


class TestConfiguration:
    def test_a_limit_is_set_changed_and_removed(self, site):
        paywall = PaywallFactory()
        new = {"paywall": str(paywall.pk), "subject": "user", "kind": "concurrency", "value": "3"}
        site.post(url(Limit, "add"), new)
        limit = Limit.objects.get(paywall=paywall)
        site.post(url(Limit, "change", limit.pk), {"value": "4"})
        assert last_change(paywall).after == {"concurrency": 4}
        site.post(url(Limit, "delete", limit.pk), {"post": "yes"})
        assert not Limit.objects.filter(paywall=paywall).exists()
        assert last_change(paywall).action == "limit.removed"

    def test_an_alias_and_a_message_are_set(self, site):
        paywall = PaywallFactory()
        own = {"paywall": str(paywall.pk)}
        site.post(url(ModelAlias, "add"), {**own, "alias": "fast", "target": "openai/gpt"})
        assert last_change(paywall).action == "alias.set"
        text = {"event": "insufficient_funds", "text": "Pay {{url}}"}
        site.post(url(MessageTemplate, "add"), {**own, **text})
        assert last_change(paywall).action == "message.set"
        alias = ModelAlias.objects.get(paywall=paywall)
        act_page = {"action": "delete_selected", "_selected_action": [str(alias.pk)], "post": "yes"}
        site.post(url(ModelAlias, "changelist"), act_page)
        assert last_change(paywall).action == "alias.removed"

    def test_spending_is_entered_as_money(self, site):
        paywall = PaywallFactory()
        new = {"paywall": str(paywall.pk), "subject": "user", "kind": "spend_day", "value": "12.50"}
        site.post(url(Limit, "add"), new)
        limit = Limit.objects.get(paywall=paywall)
        assert limit.value == 12_500_000_000
        page = site.get(url(Limit, "change", limit.pk)).content.decode()
        assert 'value="12.5"' in page
        assert "12.5 USD" in site.get(url(Limit, "changelist")).content.decode()
        wrong = site.post(url(Limit, "add"), {**new, "kind": "requests_day"}).content.decode()
        assert "is not a whole number" in wrong

    def test_a_key_limit_takes_the_id_that_people_see(self, site):
        key, _ = make_key(PaywallFactory())
        new = {"paywall": str(key.paywall.pk), "subject": "key", "target": key.public_id}
        site.post(url(Limit, "add"), {**new, "kind": "concurrency", "value": "3"})
        assert Limit.objects.get(paywall=key.paywall).target == key.pk

    def test_a_key_limit_needs_a_key(self, site):
        paywall = PaywallFactory()
        new = {"paywall": str(paywall.pk), "subject": "key", "target": str(ids.uuid7())}
        page = site.post(
            url(Limit, "add"), {**new, "kind": "concurrency", "value": "3"}, follow=True
        )
        assert "no such key" in page.content.decode()


class TestPeople:
    def test_a_developer_is_made_in_lower_case(self, site):
        name = ids.uuid7().hex
        new = {
            "email": f"{name}@Example.TEST",
            "usable_password": "true",
            "password1": "correct horse battery",
            "password2": "correct horse battery",
        }
        site.post(url(User, "add"), new)
        user = User.objects.get(email=f"{name}@example.test")
        subject = ids.encode("dev", user.pk)
        assert Change.objects.get(subject=subject).action == "developer.created"
        assert site.get(url(User, "change", user.pk)).status_code == 200

    def test_a_team_keeps_an_owner(self, site):
        membership = MembershipFactory()
        team = membership.team
        prefix = "memberships"
        data = {
            "name": team.name,
            f"{prefix}-TOTAL_FORMS": "1",
            f"{prefix}-INITIAL_FORMS": "1",
            f"{prefix}-0-id": str(membership.pk),
            f"{prefix}-0-team": str(team.pk),
            f"{prefix}-0-user": str(membership.user.pk),
            f"{prefix}-0-role": "viewer",
        }
        page = site.post(url(Team, "change", team.pk), data, follow=True)
        assert "needs an owner" in page.content.decode()
        assert Membership.objects.get(pk=membership.pk).role == "owner"


class TestUsers:
    def test_are_blocked_and_unblocked(self, site):
        user = EndUserFactory()
        act(site, [user], "block")
        user.refresh_from_db()
        assert user.blocked_at
        act(site, [user], "unblock")
        user.refresh_from_db()
        assert user.blocked_at is None
        assert last_change(user.paywall).action == "user.unblocked"

    def test_staff_who_only_look_cannot_block(self, client):
        viewer = DeveloperFactory(is_staff=True)
        viewer.user_permissions.add(Permission.objects.get(codename="view_enduser"))
        client.force_login(viewer)
        user = EndUserFactory()
        act(client, [user], "block")
        user.refresh_from_db()
        assert user.blocked_at is None


def test_a_price_version_opens(site):
    version = PriceVersionFactory()
    assert site.get(url(PriceVersion, "change", version.pk)).status_code == 200


def test_a_stranger_sees_nothing(client):
    assert client.get(url(Paywall, "changelist")).status_code == 302
