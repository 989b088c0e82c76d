"""What the database itself refuses, and what it announces. As the role the product runs as."""

import itertools
import uuid

import psycopg
import pytest
from django.db import transaction
from psycopg.types.json import Jsonb

from paywalls import aliases, audit, keys, limits, messages, rules
from paywalls.models import Paywall
from paywalls.pricing import Rates
from tests.factories import (
    ACTOR,
    EndUserFactory,
    PaywallFactory,
    PriceVersionFactory,
    make_key,
)

KEPT = ("paywalls_change", "paywalls_priceversion", "paywalls_rate")


@pytest.fixture
def paywall():
    made = PaywallFactory()
    version = PriceVersionFactory(paywall=made)
    rules.rate_id(version.pk, "a/b", "", Rates(prompt=1), None)
    with transaction.atomic():
        audit.record(paywall=made, actor=ACTOR, action="test", subject="x")
    return made


class TestImmutability:
    @pytest.mark.parametrize("column", ["mode = 'shared'", "currency = 'EUR'"])
    @pytest.mark.parametrize("role", ["runtime", "owner"])
    def test_mode_and_currency_are_fixed(self, request, paywall, role, column):
        connection = request.getfixturevalue(role)
        with pytest.raises(psycopg.errors.RestrictViolation):
            connection.execute(f"UPDATE paywalls_paywall SET {column} WHERE id = %s", [paywall.pk])

    def test_the_rest_of_a_paywall_can_change(self, runtime, paywall):
        runtime.execute(
            "UPDATE paywalls_paywall SET name = 'new', mode = mode WHERE id = %s", [paywall.pk]
        )
        assert Paywall.objects.get(pk=paywall.pk).name == "new"

    @pytest.mark.parametrize("table", KEPT)
    @pytest.mark.parametrize("role", ["runtime", "owner"])
    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE {} SET id = id",
            "UPDATE {} SET created_at = now()",
            "DELETE FROM {}",
            "TRUNCATE {} CASCADE",
        ],
    )
    def test_kept_rows_stay(self, request, paywall, table, role, statement):
        connection = request.getfixturevalue(role)
        refusals = (psycopg.errors.RestrictViolation, psycopg.errors.InsufficientPrivilege)
        with pytest.raises(refusals):
            connection.execute(statement.format(table))

    @pytest.mark.parametrize("currency", ["usd", "US", "", "U$D"])
    def test_a_currency_has_three_capitals(self, runtime, currency):
        with pytest.raises(psycopg.errors.CheckViolation):
            runtime.execute(
                "INSERT INTO paywalls_paywall SELECT (jsonb_populate_record(w, %s)).*"
                " FROM paywalls_paywall w WHERE id = %s",
                [Jsonb({"id": str(uuid.uuid4()), "currency": currency}), PaywallFactory().pk],
            )


@pytest.fixture
def heard(runtime):
    """Runs something and tells which paywalls were announced meanwhile."""
    runtime.execute("LISTEN paywalls_config")

    def until_now():
        mark = str(uuid.uuid4())
        runtime.execute("SELECT pg_notify('paywalls_config', %s)", [mark])
        payloads = (notice.payload for notice in runtime.notifies(timeout=5))
        return list(itertools.takewhile(lambda payload: payload != mark, payloads))

    def listen_to(action):
        until_now()
        action()
        return until_now()

    return listen_to


def atomically(function, *args, **options):
    def act():
        with transaction.atomic():
            function(*args, actor=ACTOR, **options)

    return act


class TestAnnouncements:
    def test_every_kind_of_change_is_announced_once(self, heard, paywall):
        key, _ = make_key(paywall)
        for change in (
            atomically(keys.mint, paywall, keys.KeyOptions(name="k")),
            atomically(keys.revoke, key),
            atomically(rules.set_trial, paywall, amount_nanos=1),
            atomically(aliases.set_alias, paywall, "a", "b"),
            atomically(aliases.remove_alias, paywall, "a"),
            atomically(messages.set_message, paywall, "model_unavailable", "x"),
            atomically(messages.reset_message, paywall, "model_unavailable"),
            atomically(limits.set_limit, paywall, "concurrency", 1, subject=limits.Subject.PAYWALL),
        ):
            assert heard(change) == [str(paywall.pk)]

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE paywalls_paywall SET graceful = NOT graceful WHERE id = %s",
            "UPDATE paywalls_apikey SET revoked_at = now() WHERE paywall_id = %s",
            "DELETE FROM paywalls_apikey WHERE paywall_id = %s",
            "UPDATE paywalls_limit SET value = 2 WHERE paywall_id = %s",
            "DELETE FROM paywalls_limit WHERE paywall_id = %s",
        ],
    )
    def test_a_change_behind_the_services_is_announced_too(
        self, heard, runtime, paywall, statement
    ):
        make_key(paywall)
        atomically(limits.set_limit, paywall, "concurrency", 1, subject=limits.Subject.PAYWALL)()
        assert heard(lambda: runtime.execute(statement, [paywall.pk])) == [str(paywall.pk)]

    def test_the_last_use_of_a_key_is_not(self, heard, paywall):
        key, _ = make_key(paywall)
        assert heard(lambda: keys.touch([key.pk])) == []

    def test_a_new_end_user_is_not(self, heard, paywall):
        assert heard(lambda: EndUserFactory(paywall=paywall)) == []

    def test_a_rolled_back_change_is_not(self, heard, paywall):
        def give_up():
            with transaction.atomic():
                aliases.set_alias(paywall, "a", "b", actor=ACTOR)
                transaction.set_rollback(True)

        assert heard(give_up) == []
