"""What is sold, what is held for it, and what the provider is asked for."""

import asyncio

import pytest

from paywalls.pricing import Usage, price_nanos
from providers.adapters.openai import OpenAI
from proxy.chat_errors import MaxCostExceededError
from proxy.errors import ModelNotAllowedError, ModelNotFoundError, ModelNotPricedError
from tests.support.chats import (
    RATES,
    Client,
    Wall,
    endpoint,
    idempotency,
    model,
    request,
)

USAGE = Usage(prompt=9, completion=5)
CHARGE = price_nanos(USAGE, RATES)
COUNTED = 7
"""Tokens of the fake provider's words."""


class TestHold:
    async def test_the_limit_sent_is_what_the_hold_pays_for(self, wall, fake):
        wall.gate.balance = 1_000_000
        await wall.chat(request(max_tokens=4_000))
        sent, ask = fake.requests[0].json["max_tokens"], wall.gate.asks[0]
        assert ask.least_nanos <= 1_000_000 < ask.want_nanos
        assert 16 <= sent < 500
        assert fake.requests[0].json.get("max_completion_tokens") is None

    async def test_the_limit_is_written_where_the_caller_wrote_it(self, wall, fake):
        await wall.chat(request(max_completion_tokens=40))
        await wall.chat(request())
        assert fake.requests[0].json["max_completion_tokens"] == 40
        assert "max_tokens" not in fake.requests[0].json
        assert fake.requests[1].json["max_tokens"] == 4_096

    async def test_the_limit_is_called_what_the_provider_calls_it(self, fake, upstream):
        models = [model(endpoint(fake.url, adapter=OpenAI()), output_tokens_max=900)]
        await Wall(models=models, upstream=upstream).chat()
        assert fake.requests[0].json["max_completion_tokens"] == 900

    async def test_every_choice_is_held_for(self, wall):
        await wall.chat(request(max_tokens=100))
        await wall.chat(request(max_tokens=100, n=3))
        one, three = (ask.want_nanos for ask in wall.gate.asks)
        assert three - one > 2 * 100 * 2_000 - 1

    async def test_a_prompt_is_counted_only_where_its_bytes_do_not_fit(self, wall, fake):
        long = request(messages=[{"role": "user", "content": "hello " * 500}], max_tokens=16)
        wall.gate.balance = 1_000_000
        await wall.chat(long)
        first, second = wall.gate.asks
        assert second.least_nanos < wall.gate.balance + wall.gate.bill.charge_nanos
        assert second.least_nanos < first.least_nanos
        assert len(fake.requests) == 1

    async def test_a_limit_on_output_clamps(self, wall, fake):
        wall.settings["user_caps"] = {"output_tokens": 30}
        wall.key_settings["caps"] = {"output_tokens": 20}
        await wall.chat(request(max_tokens=100))
        assert fake.requests[0].json["max_tokens"] == 20

    async def test_a_limit_on_the_prompt_refuses(self, wall, fake):
        wall.settings["paywall_caps"] = {"prompt_tokens": 5}
        client = await wall.chat()
        assert client.status == 429
        assert client.json["error"]["code"] == "token_limit"
        assert client.headers["x-should-retry"] == "false"
        assert not wall.gate.asks

    async def test_a_limit_on_the_prompt_is_held_against_tokens_not_bytes(self, wall):
        wall.settings["paywall_caps"] = {"prompt_tokens": 60}
        assert (await wall.chat()).status == 200

    async def test_max_cost_bounds_the_hold_and_the_answer(self, wall, fake):
        await wall.chat(request(max_tokens=4_000), max_cost_nanos=1_000_000)
        assert wall.gate.asks[0].want_nanos == 1_000_000
        assert fake.requests[0].json["max_tokens"] < 500

    async def test_max_cost_below_the_shortest_answer_is_refused(self, wall, fake):
        with pytest.raises(MaxCostExceededError):
            await wall.chat(max_cost_nanos=10)
        assert not wall.gate.asks

    async def test_a_free_trial_request_keeps_its_limits_and_costs_nothing(self, wall, fake):
        wall.gate.trial = True
        wall.gate.balance = 1_000_000
        client = await wall.chat(request(max_tokens=4_000))
        assert fake.requests[0].json["max_tokens"] == 4_000
        assert wall.gate.bill.charge_nanos == 0
        assert wall.gate.bill.usage == {"prompt": 9, "completion": 5}
        assert client.headers["x-paywall-cost"] == "0"

    async def test_the_hold_knows_what_the_reaper_needs(self, wall):
        await wall.chat(feature="f", run="r", idempotency=idempotency())
        ask = wall.gate.asks[0]
        assert ask.facts["model"] == "fake/model"
        assert {"connection", "rate", "feature", "run", "streamed", "started_at"} <= set(ask.facts)
        assert ask.idempotency_key == b"d" * 32

    async def test_progress_tells_what_was_delivered_so_far(self, wall, fake):
        fake.behaviour = "gated"
        client = Client()
        running = asyncio.create_task(wall.chat(request(stream=True), client=client))
        await fake.wait_requests()
        progress = next(iter(wall.gate.progress.values()))
        assert not progress().delivered
        assert progress().charge_nanos == 0
        fake.release(4)
        await client.wait_events(4)
        now = progress()
        assert now.delivered
        assert now.usage["completion"] == 4
        assert 0 < now.charge_nanos <= wall.gate.asks[0].want_nanos
        fake.release(20)
        await running


class TestRouting:
    async def test_an_unknown_model_is_not_found(self, wall):
        with pytest.raises(ModelNotFoundError):
            await wall.chat(request("nothing"))

    async def test_an_unpriced_model_is_refused(self, wall):
        wall.snapshot.rates = None
        with pytest.raises(ModelNotPricedError):
            await wall.chat()

    @pytest.mark.parametrize("where", ["settings", "key_settings"])
    async def test_a_model_that_is_not_allowed_is_refused(self, wall, where):
        getattr(wall, where)["allowed_models"] = ("other",)
        with pytest.raises(ModelNotAllowedError):
            await wall.chat()

    @pytest.mark.parametrize("name", ["model", "fake/model", "fast"])
    async def test_lists_may_name_a_model_as_callers_do(self, wall, name):
        wall.settings |= {"allowed_models": (name,), "aliases": {"fast": "fake/model"}}
        assert (await wall.chat(request("fast"))).status == 200

    async def test_graceful_paywalls_say_that_a_model_is_not_allowed(self, wall):
        wall.settings |= {"allowed_models": ("other",), "graceful": True}
        client = await wall.chat(request(stream=True))
        assert client.status == 200
        assert client.events[0]["paywall"]["reason"] == "model_not_allowed"
