import datetime as dt

import pytest
import time_machine
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from config.kit import clock
from paywalls import aliases, config, keys, limits, messages, paywalls
from paywalls.models import ApiKey
from tests.factories import (
    ACTOR,
    EndUserFactory,
    PaywallFactory,
    PriceVersionFactory,
    make_key,
)

QUERIES_MOST = 5


def load(text):
    return config.load(keys.digest(text))


class TestLoad:
    def test_a_stranger_is_nobody(self):
        _, text = make_key(PaywallFactory())
        assert config.load([bytes(32)]) is None
        assert load(text) is not None

    def test_brings_all_that_was_configured_in_a_few_queries(self):
        paywall = PaywallFactory(allowed_models=["openai/*"], graceful=True)
        key, text = make_key(paywall, allowed_models=["openai/gpt"], idempotency_required=True)
        PriceVersionFactory(paywall=paywall, trial_nanos=7)
        with transaction.atomic():
            for subject, own_key, value in (
                ("user", None, 1),
                ("paywall", None, 2),
                ("key", key, 3),
            ):
                limits.set_limit(
                    paywall,
                    "concurrency",
                    value,
                    subject=limits.Subject(subject),
                    key=own_key,
                    actor=ACTOR,
                )
            aliases.set_alias(paywall, "fast", "openai/gpt", actor=ACTOR)
            messages.set_message(paywall, "insufficient_funds", "Pay: {{url}}", actor=ACTOR)
        with CaptureQueriesContext(connection) as queries:
            found, mine = load(text)
        assert len(queries) <= QUERIES_MOST
        assert (found.id, found.allowed_models, found.graceful) == (paywall.pk, ("openai/*",), True)
        assert found.prices.trial_nanos == 7
        assert (found.user_caps, found.paywall_caps) == ({"concurrency": 1}, {"concurrency": 2})
        assert found.aliases == {"fast": "openai/gpt"}
        assert found.templates["insufficient_funds"] == "Pay: {{url}}"
        assert found.templates["model_unavailable"] == messages.DEFAULTS["model_unavailable"]
        assert (mine.caps, mine.allowed_models) == ({"concurrency": 3}, ("openai/gpt",))
        assert mine.idempotency_required

    def test_nothing_of_another_paywall_comes_along(self):
        other = PaywallFactory()
        other_key, _ = make_key(other)
        _, text = make_key(PaywallFactory())
        PriceVersionFactory(paywall=other)
        with transaction.atomic():
            limits.set_limit(
                other, "concurrency", 1, subject=limits.Subject.KEY, key=other_key, actor=ACTOR
            )
            limits.set_limit(other, "concurrency", 1, subject=limits.Subject.USER, actor=ACTOR)
            aliases.set_alias(other, "fast", "openai/gpt", actor=ACTOR)
            messages.set_message(other, "model_unavailable", "Gone", actor=ACTOR)
        found, mine = load(text)
        assert (found.prices, found.aliases, found.user_caps, mine.caps) == (None, {}, {}, {})
        assert found.templates == messages.DEFAULTS

    @pytest.mark.parametrize(
        ("key_live", "paywall_live", "expected"),
        [(True, True, True), (True, False, False), (False, True, False), (False, False, False)],
    )
    def test_live_needs_a_live_key_and_a_live_paywall(self, key_live, paywall_live, expected):
        _, text = make_key(PaywallFactory(livemode=paywall_live), livemode=key_live)
        assert load(text)[1].livemode is expected

    def test_an_expired_key_is_nobody(self):
        key, text = make_key(PaywallFactory(), expires_at=clock.now() + dt.timedelta(hours=1))
        assert load(text) is not None
        ApiKey.objects.filter(pk=key.pk).update(expires_at=clock.now() - dt.timedelta(seconds=1))
        assert load(text) is None

    @pytest.mark.parametrize("minutes", [-10, 10])
    def test_a_key_expires_by_the_databases_clock(self, minutes):
        _, text = make_key(PaywallFactory(), expires_at=clock.now() + dt.timedelta(minutes=5))
        with time_machine.travel(clock.now() + dt.timedelta(minutes=minutes)):
            left = load(text)[1].left
        assert dt.timedelta(minutes=4) < left <= dt.timedelta(minutes=5)

    def test_a_key_that_is_shown_moves_to_the_current_pepper(self, settings):
        key, text = make_key(PaywallFactory())
        settings.KEY_PEPPERS = settings.KEY_PEPPERS | {7: b"n" * 32}
        assert load(text) is not None
        key.refresh_from_db()
        assert key.pepper == 7
        del settings.KEY_PEPPERS[1]
        assert load(text) is not None

    def test_a_paused_or_archived_paywall_is_found(self):
        paywall = PaywallFactory()
        _, text = make_key(paywall)
        with transaction.atomic():
            paywalls.pause(paywall, actor=ACTOR)
        assert load(text)[0].paused
        with transaction.atomic():
            paywalls.resume(paywall, actor=ACTOR)
            paywalls.archive(paywall, actor=ACTOR)
        found, _ = load(text)
        assert (found.paused, found.archived) == (False, True)

    def test_a_users_key_acts_for_that_user_and_never_deposits(self):
        user = EndUserFactory()
        _, text = make_key(user.paywall, end_user=user)
        _, mine = load(text)
        assert mine.external_user == user.external_id
        assert mine.may(keys.CHAT)
        assert not mine.may(keys.DEPOSIT)

    def test_no_scopes_are_all_scopes(self):
        _, text = make_key(PaywallFactory())
        _, narrow = make_key(PaywallFactory(), scopes=["balance"])
        assert load(text)[1].may(keys.DEPOSIT)
        assert load(narrow)[1].may(keys.BALANCE)
        assert not load(narrow)[1].may(keys.CHAT)
