import pytest

from config.kit.errors import InvalidRequestError
from paywalls.price_input import RuleInput, from_stored, read_rule, review, to_stored
from paywalls.pricing import Rates
from paywalls.types import PriceRule

TOKENS = {"prompt": "0.15", "completion": "0.60"}


class TestReadRule:
    def test_prices_are_for_a_million_tokens_or_one_unit(self):
        rule = read_rule(
            RuleInput(
                match="model",
                value="gpt",
                prices={**TOKENS, "cached": "0", "image": "0.001"},
                request="0.01",
                minimum="0.02",
                markup="12.5",
            )
        )
        assert (rule.basis, rule.match, rule.value) == ("own", "model", "gpt")
        assert rule.rates == Rates(
            prompt=150_000_000,
            completion=600_000_000,
            cached=0,
            image=1_000_000,
            request=10_000_000,
            minimum=20_000_000,
            markup_bps=1_250,
        )

    @pytest.mark.parametrize(
        ("text", "bps"),
        [("20", 2_000), ("-99", -9_900), ("1000", 100_000), ("+2.5%", 250), ("0", 0)],
    )
    def test_markup_is_in_percent(self, text, bps):
        rule = read_rule(RuleInput(markup=text))
        assert (rule.basis, rule.rates.markup_bps) == ("cost", bps)

    def test_free_is_explicit(self):
        assert read_rule(RuleInput(is_free=True)) == PriceRule(match="default", basis="free")

    def test_a_prefix_may_end_in_a_star(self):
        assert read_rule(RuleInput(match="prefix", value="openai/*", markup="0")).value == "openai/"

    @pytest.mark.parametrize(
        ("given", "param"),
        [
            (RuleInput(), "markup"),
            (RuleInput(request="1"), "markup"),
            (RuleInput(markup="-99.01"), "markup"),
            (RuleInput(markup="1000.01"), "markup"),
            (RuleInput(markup="1e2"), "markup"),
            (RuleInput(markup="2.555"), "markup"),
            (RuleInput(is_free=True, markup="1"), "free"),
            (RuleInput(is_free=True, minimum="1"), "free"),
            (RuleInput(prices={"prompt": "0", "completion": "0"}), "free"),
            (RuleInput(prices={"prompt": "1"}), "completion"),
            (RuleInput(prices={"completion": "1"}), "prompt"),
            (RuleInput(prices={"reasoning": "1"}), "prompt"),
            (RuleInput(prices={**TOKENS, "cached": "-1"}), "cached"),
            (RuleInput(prices={**TOKENS, "cached": "NaN"}), "cached"),
            (RuleInput(prices={**TOKENS, "prompt": "1000001"}), "prompt"),
            (RuleInput(prices={**TOKENS, "smell": "1"}), "smell"),
            (RuleInput(prices=TOKENS, request="1,5"), "request"),
            (RuleInput(match="model", markup="1"), "model"),
            (RuleInput(match="model", value="x" * 201, markup="1"), "model"),
            (RuleInput(match="feature", value="a\nb", markup="1"), "feature"),
            (RuleInput(match="default", value="gpt", markup="1"), "value"),
        ],
    )
    def test_refuses_and_names_the_field(self, given, param):
        with pytest.raises(InvalidRequestError) as refusal:
            read_rule(given)
        assert refusal.value.param == param

    def test_stored_form_reads_back(self):
        rule = read_rule(RuleInput(match="model", value="gpt", prices={**TOKENS, "cached": "0"}))
        assert from_stored(to_stored(rule)) == rule


class TestReview:
    COSTS = {
        "openai/big": Rates(prompt=2_000_000_000, completion=8_000_000_000),
        "openai/small": Rates(prompt=100_000_000, completion=400_000_000),
    }

    def own(self, prompt, completion, **options):
        rates = Rates(prompt=prompt, completion=completion)
        return PriceRule(**{"match": "default", "basis": "own", "rates": rates, **options})

    def test_a_reasonable_price_passes(self):
        found = review(self.own(2_500_000_000, 9_000_000_000), self.COSTS)
        assert (found.typo, found.below_cost) == ("", "")

    @pytest.mark.parametrize("factor", [1_000, -1_000])
    def test_a_thousandfold_mistake_is_seen(self, factor):
        cost = self.COSTS["openai/big"]
        scaled = [
            rate * factor if factor > 0 else rate // -factor
            for rate in (cost.prompt, cost.completion)
        ]
        rule = self.own(*scaled, match="model", value="big")
        assert "million tokens" in review(rule, self.COSTS).typo

    def test_one_price_for_cheap_and_dear_models_is_no_mistake(self):
        assert not review(self.own(20_000_000_000, 80_000_000_000), self.COSTS).typo

    def test_names_what_is_sold_below_cost(self):
        found = review(self.own(1_000_000_000, 9_000_000_000), self.COSTS)
        assert found.below_cost == "Sold below the provider's cost: openai/big."

    def test_a_negative_markup_is_below_cost(self):
        rule = PriceRule(match="prefix", value="openai/", basis="cost", rates=Rates(markup_bps=-1))
        assert "openai/big, openai/small" in review(rule, self.COSTS).below_cost

    def test_other_models_do_not_matter(self):
        rule = self.own(1, 1, match="model", value="together/llama")
        assert review(rule, self.COSTS).typo == ""
