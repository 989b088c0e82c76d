"""The commands about a paywall's Stripe key."""

from typing import Any

import pytest

from billing.stripe import connect
from billing.stripe.models import StripeAccount
from paywalls.models import Change, Paywall
from tests.factories import PaywallFactory
from tests.fakes.stripe.keys import seeded
from tests.fakes.stripe.server import Running
from tests.support.commands import refusal, run, run_json


@pytest.fixture
def paywall(fake: Running, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Paywall:
    settings.STRIPE_API_BASE = fake.url
    monkeypatch.setenv("STRIPE_KEY", seeded("rk", "live"))
    return PaywallFactory.create()


def test_from_the_key_to_its_end(paywall: Paywall):
    made = run_json("connect_stripe", paywall.name)
    assert (made["livemode"], made["trouble"]) == (True, "")
    assert all(check["ok"] for check in made["checks"] if check["name"] != "Test event")
    assert seeded("rk", "live") not in run("check_stripe", paywall.name)
    rotated = run_json("rotate_stripe_secret", paywall.name)
    assert rotated["endpoint"] != made["endpoint"]
    assert "takes no more payments" in run("disconnect_stripe", paywall.name)
    assert not StripeAccount.objects.filter(paywall=paywall, is_active=True).exists()
    assert "No Stripe key is connected" in refusal("check_stripe", paywall.name)
    assert Change.objects.filter(paywall=paywall, action="stripe.disconnected").count() == 1


def test_without_a_key(paywall: Paywall, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STRIPE_KEY", "")
    assert "STRIPE_KEY" in refusal("connect_stripe", paywall.name)
    monkeypatch.setenv("STRIPE_KEY", "rk_live_" + "x" * 30)
    assert "save a new one" in refusal("connect_stripe", paywall.name)


def test_the_test_event_turns_green_when_one_arrives(paywall: Paywall):
    run("connect_stripe", paywall.name)
    account = StripeAccount.objects.get(paywall=paywall, is_active=True)
    account.heard_at = account.created_at
    assert all(each.ok for each in connect.findings(account))
