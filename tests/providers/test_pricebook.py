import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from genai_prices.types import ModelPrice, Tier, TieredPrices

from config.kit import clock
from paywalls.pricing import Rates
from providers import pricebook, sync, tasks
from providers.models import Model
from tests.factories import ACTOR, ConnectionFactory

NOW = dt.datetime(2026, 11, 20, tzinfo=dt.UTC)


def price(**fields: str) -> ModelPrice:
    return ModelPrice(**{name: Decimal(value) for name, value in fields.items()})


class TestRates:
    def test_dollars_per_million_become_nanos_exactly(self):
        given = price(input_mtok="0.15", output_mtok="0.6", cache_read_mtok="0.075")
        assert pricebook.rates(given) == Rates(
            prompt=150_000_000, completion=600_000_000, cached=75_000_000
        )

    def test_what_is_finer_than_a_nano_is_rounded_up(self):
        given = price(input_mtok="0.0000000001", output_mtok="1")
        found = pricebook.rates(given)
        assert found is not None
        assert found.prompt == 1

    def test_the_dearest_tier_and_the_dearest_cache_write(self):
        tiers = TieredPrices(
            base=Decimal(3),
            tiers=[Tier(start=1000, price=Decimal(6)), Tier(start=200_000, price=Decimal(5))],
        )
        given = ModelPrice(
            input_mtok=tiers,
            output_mtok=Decimal(15),
            cache_write_mtok=Decimal("3.75"),
            cache_write_1h_mtok=Decimal(6),
        )
        found = pricebook.rates(given)
        assert found is not None
        assert (found.prompt, found.cache_write) == (6_000_000_000, 6_000_000_000)

    def test_a_search_is_a_unit(self):
        found = pricebook.rates(price(input_mtok="1", output_mtok="1", web_searches_kcount="10"))
        assert found is not None
        assert found.tool == 10_000_000

    def test_one_way_only_is_no_chat_price(self):
        assert pricebook.rates(price(input_mtok="1")) is None
        assert pricebook.rates(ModelPrice()) is None

    def test_free_is_zero_and_not_unknown(self):
        assert pricebook.rates(price(input_mtok="0", output_mtok="0")) == Rates()


class TestModels:
    def test_every_kind_and_what_has_a_price_is_a_chat_model(self):
        found = pricebook.models(NOW)
        assert {kind for kind, _ in found} == {*pricebook.KINDS, "demo"}
        assert all(
            model.cost is not None
            for model in found.values()
            if model.kind != "openrouter" and model.name != "moderation"
        )
        assert ("openai", "text-embedding-3-small") not in found

    def test_openrouters_names_have_a_vendor_and_its_free_ones_no_known_price(self):
        routed = [model for model in pricebook.models(NOW).values() if model.kind == "openrouter"]
        assert all("/" in model.name for model in routed)
        assert all(model.cost is None for model in routed if model.name.endswith(":free"))

    def test_known_ones(self):
        found = pricebook.models(NOW)
        mini = found["openai", "gpt-4o-mini"]
        assert mini.cost is not None
        assert (mini.cost.prompt, mini.cost.completion) == (150_000_000, 600_000_000)
        assert found["openai", "gpt-4o-mini-2024-07-18"].cost == mini.cost
        assert mini.context_tokens == 128_000
        assert ("openrouter", "openai/gpt-4o-mini") in found
        assert found["demo", "echo-1"].cost is not None

    def test_the_price_of_the_day(self):
        def o3(year: int) -> int:
            found = pricebook.models(dt.datetime(year, 1, 1, tzinfo=dt.UTC))["openai", "o3"]
            assert found.cost is not None
            return found.cost.prompt

        assert (o3(2025), o3(2026)) == (10_000_000_000, 2_000_000_000)

    @pytest.mark.parametrize(
        ("name", "found"),
        [
            ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
            ("claude-3-opus-20240229", "claude-3-opus-latest"),
            ("claude-sonnet-4-5", "claude-sonnet-4-5"),
            ("claude-sonnet-4-50", None),
            ("claude-sonnet-4-5-fast", None),
            ("gpt-4o-mini", None),
        ],
    )
    def test_only_a_date_is_looked_through(self, name: str, found: str | None):
        priced = pricebook.dated(pricebook.models(NOW), "anthropic", name)
        assert (priced.name if priced else None) == found


class TestSync:
    def test_the_catalogue_is_filled_and_can_be_filled_again(self):
        with transaction.atomic():
            first = sync.sync_price_book()
        row = Model.objects.get(kind="openai", connection=None, name="gpt-4o-mini")
        assert row.cost is not None
        assert Rates.from_dict(row.cost).prompt == 150_000_000
        assert (row.source, row.as_of) == (pricebook.SOURCE, clock.now().date())
        Model.objects.filter(pk=row.pk).update(is_active=False, cost={"prompt": 1})
        with transaction.atomic():
            again = sync.sync_price_book()
        assert (again.models, again.new) == (first.models, 0)
        row.refresh_from_db()
        assert not row.is_active
        assert row.cost != {"prompt": 1}
        Model.objects.filter(pk=row.pk).update(is_active=True)

    def test_what_a_provider_lists_is_priced_where_the_book_knows_it(self):
        connection = ConnectionFactory.create(kind="anthropic")
        listed: list[dict[str, Any]] = [
            {"id": "claude-sonnet-4-5-20250929", "context_length": 5},
            {"id": "claude-unheard-of"},
        ]
        with transaction.atomic():
            added = sync.add_listed(connection, listed, actor=ACTOR)
        assert added == ["claude-sonnet-4-5-20250929", "claude-unheard-of"]
        own = Model.objects.filter(connection=connection)
        dated, unknown = own.order_by("name")
        assert dated.cost is not None
        assert (dated.context_tokens, dated.source) == (5, pricebook.SOURCE)
        assert (unknown.cost, unknown.source) == (None, sync.LISTED_SOURCE)
        own.filter(pk=dated.pk).update(cost={"prompt": 1}, source="genai-prices 0")
        own.filter(pk=unknown.pk).update(cost={"prompt": 7}, source="contract")
        with transaction.atomic():
            sync.sync_price_book()
        assert own.get(pk=dated.pk).cost == dated.cost
        assert own.get(pk=unknown.pk).cost == {"prompt": 7}

    def test_the_worker_does_it(self):
        tasks.sync_models()
        assert Model.objects.filter(kind="anthropic", connection=None).exists()
