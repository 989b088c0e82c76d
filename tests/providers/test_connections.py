from typing import Any

import pytest
from django.conf import settings
from django.db import transaction

from config.kit import crypto, egress
from config.kit.egress import DestinationRefusedError
from config.kit.errors import InvalidRequestError
from paywalls.models import Change, Paywall
from providers import catalog, connections
from providers.connections import Draft
from providers.models import Connection
from tests.factories import ACTOR, PaywallFactory

KEY = "sk-canary-abcdefghij"


@pytest.fixture
def paywall() -> Paywall:
    return PaywallFactory.create()


def create(paywall: Paywall, **draft: Any) -> Connection:
    options = {"kind": "openai", "key": KEY} | draft
    with transaction.atomic():
        return connections.create(paywall, Draft(**options), actor=ACTOR)


def update(connection: Connection, **changes: Any) -> Connection:
    with transaction.atomic():
        return connections.update(connection, changes, actor=ACTOR)


def changes_of(connection: Connection) -> list[Change]:
    return list(Change.objects.filter(subject=connection.public_id).order_by("id"))


class TestCreate:
    def test_what_is_left_out_follows_from_the_kind(self, paywall: Paywall):
        made = Connection.objects.get(pk=create(paywall).pk)
        assert (made.name, made.base_url) == ("openai", "https://api.openai.com/v1")
        assert made.key_last_four == "ghij"

    def test_the_key_is_sealed_for_this_paywall_and_origin(self, paywall: Paywall):
        made = create(paywall)
        sealed = bytes(made.sealed_key or b"")
        assert KEY.encode() not in sealed
        assert catalog.unseal_key(made, "https://api.openai.com:443") == KEY
        for paywall_id, origin in (
            (paywall.id, "https://api.openai.com:8443"),
            (PaywallFactory.create().id, "https://api.openai.com:443"),
        ):
            with pytest.raises(crypto.SealError):
                crypto.unseal(
                    sealed,
                    context=catalog.seal_context(paywall_id, origin),
                    keys=settings.ENCRYPTION_KEYS,
                )

    def test_it_is_recorded_without_the_key(self, paywall: Paywall):
        (change,) = changes_of(create(paywall))
        assert change.after is not None
        assert (change.action, change.actor, change.before) == ("connection.created", ACTOR, None)
        assert change.after["key_last_four"] == "ghij"
        assert KEY not in str(change.after)

    @pytest.mark.parametrize(
        ("draft", "param"),
        [
            ({"kind": "nobody"}, "kind"),
            ({"key": ""}, "key"),
            ({"key": "sk-a b"}, "key"),
            ({"key": "sk-a\r\nHost: x"}, "key"),
            ({"key": "schlüssel"}, "key"),
            ({"key": "k" * 1001}, "key"),
            ({"name": "a/b"}, "name"),
            ({"name": "x" * 51}, "name"),
            ({"name": "anthropic"}, "name"),
            ({"kind": "compatible"}, "base_url"),
            ({"base_url": "https://api.example.com/v1?x=1"}, "base_url"),
            ({"base_url": "https://api.example.com/" + "a" * 500}, "base_url"),
            ({"position": -1}, "position"),
            ({"settlement": {"client_gone": "steal"}}, "settlement"),
            ({"settlement": {"other": "free"}}, "settlement"),
            ({"settlement": [1]}, "settlement"),
            ({"timeouts": {"total_s": 0}}, "timeouts"),
            ({"timeouts": {"total_s": 10**9}}, "timeouts"),
            ({"timeouts": {"total_s": True}}, "timeouts"),
            ({"timeouts": {"else_s": 1}}, "timeouts"),
        ],
    )
    def test_what_is_wrong_is_named_and_nothing_is_written(
        self, paywall: Paywall, draft: dict[str, Any], param: str
    ):
        with pytest.raises(InvalidRequestError) as caught:
            create(paywall, **draft)
        assert caught.value.param == param
        assert not Connection.objects.filter(paywall=paywall).exists()
        assert not Change.objects.filter(paywall=paywall).exists()

    @pytest.mark.parametrize(
        "url", ["http://api.example.com/v1", "https://169.254.169.254/", "https://db.internal/v1"]
    )
    def test_an_address_of_the_inside_is_refused(self, paywall: Paywall, url: str):
        with pytest.raises(DestinationRefusedError):
            create(paywall, kind="compatible", base_url=url)

    def test_two_of_one_name(self, paywall: Paywall):
        create(paywall)
        with pytest.raises(InvalidRequestError, match="openai already"):
            create(paywall)
        create(PaywallFactory.create())

    def test_a_local_server_needs_no_key(self, paywall: Paywall):
        made = create(paywall, kind="compatible", base_url="https://llm.example.com/v1/", key="")
        assert (made.base_url, made.sealed_key) == ("https://llm.example.com/v1", None)
        assert catalog.endpoint(made) is not None


class TestUpdate:
    @pytest.mark.parametrize(
        "url",
        [
            "https://evil.example.com/v1",
            "https://api.openai.com:8443/v1",
            "https://api.openai.com.evil.example/v1",
        ],
    )
    def test_another_origin_removes_the_key(self, paywall: Paywall, url: str):
        """T3, F71: the key never goes to an address it was not entered for."""
        changed = Connection.objects.get(pk=update(create(paywall), base_url=url).pk)
        assert (changed.sealed_key, changed.key_last_four) == (None, "")
        assert changed.trouble == connections.KEY_CLEARED
        assert catalog.endpoint(changed) is None

    def test_another_path_keeps_it(self, paywall: Paywall):
        changed = update(create(paywall), base_url="https://api.openai.com/v2")
        found = catalog.endpoint(changed)
        assert found is not None
        assert (found.base_path, KEY.encode() in found.headers) == ("/v2", True)

    def test_a_row_that_was_edited_by_hand_does_not_open(self, paywall: Paywall):
        made = create(paywall)
        Connection.objects.filter(pk=made.pk).update(base_url="https://evil.example.com/v1")
        assert catalog.endpoint(Connection.objects.get(pk=made.pk)) is None

    def test_the_change_is_recorded(self, paywall: Paywall):
        made = create(paywall)
        update(made, name="main", position=3, is_active=False)
        change = changes_of(made)[-1]
        assert change.action == "connection.updated"
        assert change.before is not None
        assert change.after is not None
        assert (change.before["name"], change.after["name"]) == ("openai", "main")
        assert (change.after["position"], change.after["is_active"]) == (3, False)

    def test_no_change_is_no_record(self, paywall: Paywall):
        made = create(paywall)
        update(made, name="openai")
        assert len(changes_of(made)) == 1

    @pytest.mark.parametrize("name", ["sealed_key", "paywall_id", "kind", "trouble"])
    def test_the_rest_cannot_be_changed(self, paywall: Paywall, name: str):
        with pytest.raises(InvalidRequestError):
            update(create(paywall), **{name: "x"})


class TestRotate:
    def test_the_new_key_takes_the_place_of_the_old(self, paywall: Paywall):
        made = create(paywall)
        connections.note_trouble(made.id, "401: no")
        with transaction.atomic():
            connections.rotate(made, "sk-other-9876543210", actor=ACTOR)
        again = Connection.objects.get(pk=made.pk)
        assert catalog.unseal_key(again, "https://api.openai.com:443") == "sk-other-9876543210"
        assert (again.key_last_four, again.trouble) == ("3210", "")
        assert changes_of(made)[-1].action == "connection.key_rotated"

    def test_no_key_is_sealed_for_an_address_that_is_not_allowed(self, paywall: Paywall, settings):
        settings.EGRESS_ALLOW = ("127.0.0.1",)
        made = create(paywall, kind="compatible", base_url="http://127.0.0.1:9/v1")
        settings.EGRESS_ALLOW = ()
        with transaction.atomic(), pytest.raises(DestinationRefusedError):
            connections.rotate(made, KEY, actor=ACTOR)

    def test_no_key_is_no_rotation(self, paywall: Paywall):
        made = create(paywall)
        with transaction.atomic(), pytest.raises(InvalidRequestError):
            connections.rotate(made, "", actor=ACTOR)


def test_delete_is_recorded(paywall: Paywall):
    made = create(paywall)
    subject = made.public_id
    with transaction.atomic():
        connections.delete(made, actor=ACTOR)
    assert not Connection.objects.filter(paywall=paywall).exists()
    assert Change.objects.filter(subject=subject, action="connection.deleted").count() == 1


def test_trouble_is_noted_once_and_bounded(paywall: Paywall):
    made = create(paywall)
    connections.note_trouble(made.id, "x" * 500)
    made.refresh_from_db()
    assert made.trouble == "x" * 200


def test_our_own_address_is_no_provider(paywall: Paywall):
    with pytest.raises(egress.DestinationRefusedError):
        create(paywall, kind="compatible", base_url=f"{settings.BASE_URL}/v1")
