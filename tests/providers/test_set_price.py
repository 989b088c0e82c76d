"""`set_price` stands with the providers because it compares prices with their costs."""

import pytest

from config.kit import ids
from paywalls import rules
from paywalls.models import Paywall, PriceVersion
from paywalls.pricing import Rates
from providers.models import Connection, Model
from tests.factories import ConnectionFactory, PaywallFactory
from tests.support.commands import refusal, run, run_json

COST = Rates(prompt=500_000_000, completion=1_500_000_000)


@pytest.fixture
def paywall():
    """With one model of known cost (own/known) and one of unknown (own/unknown)."""
    connection = ConnectionFactory(name="own", kind=Connection.Kind.COMPATIBLE)
    for name, cost in (("known", COST.as_dict()), ("unknown", None)):
        Model.objects.create(
            kind=connection.kind, connection=connection, name=name, cost=cost, source="test"
        )
    return connection.paywall


def price_of(paywall, *models, feature="", cost=COST):
    return rules.resolve(
        rules.price_list(paywall.pk),
        models=models,
        feature=feature,
        cost=cost,
        currency=paywall.currency,
    )


class TestSetPrice:
    def test_a_markup_is_the_default_for_all(self, paywall):
        facts = run_json("set_price", paywall.public_id, "--markup", "20")
        assert facts["version"] == 1
        assert price_of(paywall, "own/known").markup_bps == 2_000

    def test_own_prices_for_a_model_a_prefix_and_a_feature(self, paywall):
        pw = paywall.public_id
        run("set_price", pw, "--model", "own/known", "--prompt", "1", "--completion", "4")
        run("set_price", pw, "--prefix", "own/*", "--prompt", "2", "--completion", "5")
        run("set_price", pw, "--feature", "sum", "--prompt", "3", "--completion", "6")
        assert price_of(paywall, "own/known").prompt == 1_000_000_000
        assert price_of(paywall, "own/other").prompt == 2_000_000_000
        assert price_of(paywall, "x", feature="sum").prompt == 3_000_000_000
        assert price_of(paywall, "x") is None

    def test_free_is_said(self, paywall):
        assert "costs nothing" in run("set_price", paywall.public_id, "--free")
        assert price_of(paywall, "own/known") == Rates()

    def test_a_rule_is_removed(self, paywall):
        run("set_price", paywall.public_id, "--prefix", "own/*", "--markup", "5")
        run("set_price", paywall.public_id, "--prefix", "own/*", "--remove")
        assert price_of(paywall, "own/known") is None
        assert "no rule" in refusal("set_price", paywall.public_id, "--remove")

    def test_a_thousandfold_typo_needs_force(self, paywall):
        args = ("set_price", paywall.public_id, "--model", "known")
        typo = (*args, "--prompt", "0.0005", "--completion", "0.0015")
        assert refusal(*typo).startswith("--force: ")
        assert not PriceVersion.objects.filter(paywall=paywall).exists()
        run(*typo, "--force")
        assert price_of(paywall, "known").prompt == 500_000

    def test_below_cost_is_warned_of(self, paywall, capsys):
        run("set_price", paywall.public_id, "--markup", "-10")
        assert "below the provider's cost: own/known" in capsys.readouterr().err

    def test_below_cost_is_refused_in_shared_mode(self):
        shared = PaywallFactory(mode=Paywall.Mode.SHARED)
        connection = ConnectionFactory(paywall=shared, kind=Connection.Kind.COMPATIBLE)
        Model.objects.create(
            kind="compatible", connection=connection, name="m", cost=COST.as_dict(), source="test"
        )
        assert "below" in refusal("set_price", shared.public_id, "--markup", "-10")

    def test_models_that_stay_without_a_price_are_named(self, paywall, capsys):
        run("set_price", paywall.public_id, "--markup", "20")
        assert "own/unknown" in capsys.readouterr().err

    def test_another_currency_takes_a_dollar_rate(self):
        euro = PaywallFactory(currency="EUR")
        run("set_price", euro.public_id, "--markup", "0", "--usd-rate", "0.9")
        assert price_of(euro, "x").prompt == 450_000_000

    @pytest.mark.parametrize(
        ("arguments", "start"),
        [
            ([], "--markup: "),
            (["--markup", "1001"], "--markup: "),
            (["--markup=-100"], "--markup: "),
            (["--markup", "abc"], "--markup: "),
            (["--prompt", "1"], "--completion: "),
            (["--prompt", "1e3", "--completion", "1"], "--prompt: "),
            (["--prompt", "0", "--completion", "0"], "--free: "),
            (["--free", "--minimum", "1"], "--free: "),
            (["--prompt", "1", "--completion", "1", "--cache-write", "x"], "--cache-write: "),
            (["--markup", "1", "--request", "x"], "--request: "),
            (["--markup", "1", "--usd-rate", "1"], "--usd-rate: "),
            (["--model", "a", "--prefix", "b", "--markup", "1"], "Error: "),
            (["--model", "x" * 201, "--markup", "1"], "--model: "),
        ],
    )
    def test_refuses_and_names_the_flag(self, paywall, arguments, start):
        assert refusal("set_price", paywall.public_id, *arguments).startswith(start)
        assert not PriceVersion.objects.filter(paywall=paywall).exists()

    def test_an_unknown_paywall_is_refused(self):
        unknown = ids.encode("pw", ids.uuid7())
        assert refusal("set_price", unknown, "--free").startswith("paywall: ")
