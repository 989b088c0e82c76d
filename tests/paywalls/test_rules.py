from uuid import uuid4

import pytest
from django.db import transaction
from hypothesis import given
from hypothesis import strategies as st

from config.kit.errors import InvalidRequestError
from paywalls import rules
from paywalls.models import Change, Paywall, PriceVersion, Rate
from paywalls.pricing import Rates, Usage, price_nanos
from paywalls.types import PriceList, PriceRule
from tests.factories import ACTOR, PaywallFactory, PriceVersionFactory

NAMES = ("openai/gpt-4o-mini", "gpt-4o-mini")
COST = Rates(prompt=150_000_000, completion=600_000_000, cached=75_000_000)


def own(prompt: int, match="default", value="") -> PriceRule:
    return PriceRule(match=match, value=value, basis="own", rates=Rates(prompt=prompt))


def price_list(*found: PriceRule, usd_rate_nanos=None) -> PriceList:
    return PriceList(version_id=uuid4(), number=1, rules=found, usd_rate_nanos=usd_rate_nanos)


def resolve(*found, models=NAMES, feature="", cost=COST, currency="USD", usd_rate_nanos=None):
    prices = price_list(*found, usd_rate_nanos=usd_rate_nanos)
    return rules.resolve(prices, models=models, feature=feature, cost=cost, currency=currency)


def set_price(paywall, rule, **options):
    with transaction.atomic():
        return rules.set_price(paywall, rule, **{"costs": {}, "actor": ACTOR, **options})


DEFAULT = own(1)
FEATURE = own(2, "feature", "summary")
SHORT = own(3, "prefix", "openai/")
LONG = own(4, "prefix", "openai/gpt-4")
EXACT = own(5, "model", "openai/gpt-4o-mini")


class TestPrecedence:
    @given(st.permutations([DEFAULT, FEATURE, SHORT, LONG, EXACT]))
    def test_is_model_then_longest_prefix_then_feature_then_default(self, shuffled):
        found = list(shuffled)
        for expected in (EXACT, LONG, SHORT, FEATURE, DEFAULT):
            assert resolve(*found, feature="summary") == expected.rates
            found.remove(expected)
        assert resolve(*found, feature="summary") is None

    def test_any_name_of_the_model_counts(self):
        assert resolve(DEFAULT, own(6, "model", "gpt-4o-mini")) == Rates(prompt=6)

    def test_another_feature_does_not_match(self):
        assert resolve(FEATURE, feature="chat") is None
        assert resolve(FEATURE, feature="") is None

    def test_another_model_does_not_match(self):
        assert resolve(EXACT, LONG, models=("together/llama",)) is None


class TestResolve:
    def test_cost_is_marked_up_and_fee_and_minimum_are_flat(self):
        terms = Rates(markup_bps=2_000, request=7, minimum=11)
        found = resolve(PriceRule(match="default", basis="cost", rates=terms))
        assert found == Rates(
            prompt=150_000_000,
            completion=600_000_000,
            cached=75_000_000,
            request=7,
            minimum=11,
            markup_bps=2_000,
        )
        assert price_nanos(Usage(prompt=1_000, completion=500), found) == 540_000 + 7

    def test_a_providers_request_fee_is_usage(self):
        terms = Rates(markup_bps=2_000, request=1)
        rule = PriceRule(match="default", basis="cost", rates=terms)
        assert resolve(rule, cost=Rates(request=101)).request == 1 + 122

    def test_an_unknown_cost_has_no_price(self):
        assert resolve(PriceRule(match="default", basis="cost"), cost=None) is None

    def test_an_own_price_needs_no_cost(self):
        assert resolve(EXACT, cost=None) == EXACT.rates

    def test_free_is_said_explicitly(self):
        assert resolve(PriceRule(match="default", basis="free")) == Rates()

    def test_nothing_is_free_without_a_rule(self):
        assert resolve() is None

    def test_another_currency_needs_a_rate(self):
        rule = PriceRule(match="default", basis="cost")
        assert resolve(rule, currency="EUR") is None
        found = resolve(rule, currency="EUR", usd_rate_nanos=900_000_001, cost=Rates(prompt=10))
        assert found == Rates(prompt=10), "9.00000001 nanos round up"
        assert resolve(EXACT, currency="EUR") == EXACT.rates


class TestAllows:
    @pytest.mark.parametrize(
        ("allowed", "expected"),
        [
            ([], True),
            (["openai/*"], True),
            (["*"], True),
            (["gpt-4o-mini"], True),
            (["openai/gpt-4o"], False),
            (["together/*"], False),
            (["openai/gpt-4o", "gpt-4*"], True),
        ],
    )
    def test_ids_and_prefixes(self, allowed, expected):
        assert rules.allows(allowed, NAMES) is expected


class TestSetPrice:
    def test_makes_a_version_and_keeps_the_one_before(self):
        paywall = PaywallFactory()
        first = set_price(paywall, DEFAULT)
        second = set_price(paywall, EXACT)
        assert (first.number, second.number) == (1, 2)
        assert PriceVersion.objects.get(pk=first.pk).rules == first.rules
        assert rules.price_list(paywall.pk).rules == (DEFAULT, EXACT)

    def test_replaces_the_rule_for_the_same_model(self):
        paywall = PaywallFactory()
        set_price(paywall, DEFAULT)
        set_price(paywall, EXACT)
        dearer = own(50, "model", EXACT.value)
        set_price(paywall, dearer)
        assert rules.price_list(paywall.pk).rules == (DEFAULT, dearer)

    def test_is_written_down_with_before_and_after(self):
        paywall = PaywallFactory()
        set_price(paywall, DEFAULT)
        set_price(paywall, own(9))
        change = Change.objects.filter(paywall=paywall).order_by("-version").first()
        assert (change.action, change.actor, change.version) == ("price.set", ACTOR, 3)
        assert change.before["rates"] == {"prompt": 1}
        assert change.after["rates"] == {"prompt": 9}

    def test_a_price_for_a_thousand_tokens_is_refused_unless_forced(self):
        paywall = PaywallFactory()
        typo = PriceRule(
            match="model",
            value="gpt-4o-mini",
            basis="own",
            rates=Rates(prompt=150_000, completion=600_000),
        )
        costs = {"openai/gpt-4o-mini": COST}
        with pytest.raises(InvalidRequestError, match="hundred times off") as refusal:
            set_price(paywall, typo, costs=costs)
        assert refusal.value.param == "force"
        assert rules.price_list(paywall.pk) is None
        set_price(paywall, typo, costs=costs, is_forced=True)
        assert rules.price_list(paywall.pk).rules == (typo,)

    def test_below_cost_is_refused_in_shared_mode_only(self):
        cheap = PriceRule(match="default", basis="cost", rates=Rates(markup_bps=-1))
        costs = {"openai/gpt-4o-mini": COST}
        set_price(PaywallFactory(), cheap, costs=costs)
        shared = PaywallFactory(mode=Paywall.Mode.SHARED)
        with pytest.raises(InvalidRequestError, match="below the provider's cost"):
            set_price(shared, cheap, costs=costs)


class TestOtherTerms:
    def test_each_makes_a_version_that_keeps_the_rest(self):
        paywall = PaywallFactory()
        set_price(paywall, DEFAULT)
        with transaction.atomic():
            rules.set_trial(paywall, amount_nanos=5, days=3, actor=ACTOR)
            rules.set_credits(paywall, name="stars", per_unit=100, actor=ACTOR)
        prices = rules.price_list(paywall.pk)
        assert (prices.number, prices.rules) == (3, (DEFAULT,))
        assert (prices.trial_nanos, prices.trial_days, prices.trial_requests) == (5, 3, 0)
        assert (prices.credits_name, prices.credits_per_unit) == ("stars", 100)

    def test_a_trial_is_an_amount_or_a_number_of_requests(self):
        with pytest.raises(InvalidRequestError, match="not both"), transaction.atomic():
            rules.set_trial(PaywallFactory(), amount_nanos=1, requests=1, actor=ACTOR)

    def test_a_dollar_paywall_has_no_rate(self):
        with pytest.raises(InvalidRequestError, match="US dollars"), transaction.atomic():
            rules.set_usd_rate(PaywallFactory(), 900_000_000, actor=ACTOR)
        euro = PaywallFactory(currency="EUR")
        with transaction.atomic():
            rules.set_usd_rate(euro, 900_000_000, actor=ACTOR)
        assert rules.price_list(euro.pk).usd_rate_nanos == 900_000_000

    def test_a_removed_rule_no_longer_prices(self):
        paywall = PaywallFactory()
        set_price(paywall, EXACT)
        with transaction.atomic():
            rules.remove_price(paywall, "model", EXACT.value, actor=ACTOR)
        assert rules.price_list(paywall.pk).rules == ()
        with pytest.raises(InvalidRequestError, match="no rule"), transaction.atomic():
            rules.remove_price(paywall, "model", EXACT.value, actor=ACTOR)


class TestRateId:
    def test_is_the_same_for_the_same_figures(self):
        version = PriceVersionFactory()
        one, same = (rules.rate_id(version.pk, "a/b", "", COST, None) for _ in range(2))
        other = rules.rate_id(version.pk, "a/b", "", COST, COST)
        assert one == same != other
        kept = Rate.objects.get(pk=other)
        assert Rates.from_dict(kept.selling) == Rates.from_dict(kept.cost) == COST

    def test_invented_features_make_no_rows(self):
        version = PriceVersionFactory()
        made = {rules.rate_id(version.pk, "a/b", f"f{n}", COST, None) for n in range(3)}
        assert len(made) == 1

    def test_a_priced_feature_has_its_own_row(self):
        version = PriceVersionFactory(
            rules=[{"match": "feature", "value": "f1", "basis": "free", "rates": {}}]
        )
        made = {rules.rate_id(version.pk, "a/b", f"f{n}", COST, None) for n in range(3)}
        assert len(made) == 2
