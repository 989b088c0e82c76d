import json
import stat

import pytest

from config.kit import ids
from paywalls import config, keys
from paywalls.models import EndUser, Paywall, PriceVersion, User
from providers import catalog
from providers.models import Connection
from tests.support.commands import refusal, run


@pytest.fixture
def state(tmp_path, monkeypatch, settings):
    monkeypatch.setenv("PAYWALLS_STATE", str(tmp_path))
    settings.DEMO_PROVIDER_URL = "http://127.0.0.1:9"
    return tmp_path


def seed():
    return json.loads(run("seed_demo"))


def test_tells_where_things_are_and_keeps_them(state):
    told = seed()
    assert seed() == told
    user = User.objects.get(email=told["dashboard"]["email"])
    assert user.check_password(told["dashboard"]["password"])
    assert user.is_staff
    shown = told["paywalls"][0]
    found, mine = config.load(keys.digest(shown["key"]))
    assert ids.encode("pw", found.id) == shown["id"]
    assert mine.livemode
    assert (found.prices.trial_nanos, found.prices.number) == (1_000_000, 2)
    model = catalog.load(found.id).models[told["model"]]
    assert model.cost is not None
    assert EndUser.objects.filter(paywall_id=found.id).count() == 1
    assert PriceVersion.objects.filter(paywall_id=found.id).count() == 2
    assert stat.S_IMODE((state / "demo-secrets.json").stat().st_mode) == 0o600


def test_two_apps_share_a_wallet(state):
    first = seed()
    shown = first["paywalls"][1:]
    assert [(each["name"], each["mode"]) for each in shown] == [
        ("Poems", "shared"),
        ("Recipes", "shared"),
    ]
    for each in shown:
        found, mine = config.load(keys.digest(each["key"]))
        assert (ids.encode("pw", found.id), mine.livemode) == (each["id"], True)
        assert found.prices.trial_nanos == 0
        assert not Connection.objects.filter(paywall_id=found.id).exists()
    assert seed() == first


def test_heals_what_was_lost_or_changed(state):
    first = seed()
    (state / "demo-secrets.json").unlink()
    second = seed()
    assert second["paywalls"][0]["id"] == first["paywalls"][0]["id"]
    assert second["paywalls"][0]["key"] != first["paywalls"][0]["key"]
    user = User.objects.get(email=second["dashboard"]["email"])
    assert user.check_password(second["dashboard"]["password"])
    Paywall.objects.filter(pk=ids.decode("pw", first["paywalls"][0]["id"])).update(name="Mine")
    assert seed()["paywalls"][0]["id"] != first["paywalls"][0]["id"]


def test_needs_a_folder(monkeypatch):
    monkeypatch.delenv("PAYWALLS_STATE", raising=False)
    assert "./run demo" in refusal("seed_demo")
