"""Whole answers, trouble at providers, and who is asked next (F4 to F7, F16 to F21)."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from config.kit.money import parse_nanos
from paywalls.pricing import Rates, Usage, price_nanos
from providers.types import Policy
from tests.fakes.upstream import FakeUpstream
from tests.support.chats import (
    RATES,
    TIMEOUTS,
    Client,
    Snapshot,
    Wall,
    endpoint,
    idempotency,
    model,
    request,
    wall_of,
)

USAGE = Usage(prompt=9, completion=5)
CHARGE = price_nanos(USAGE, RATES)
COUNTED = 7
"""Tokens of the fake provider's words."""


async def test_a_whole_answer_does_not_tell_what_the_provider_took(wall, fake):
    known = dict(fake.usage)
    fake.usage = known | {"cost": 0.00042, "is_byok": False, "cost_details": {"x": 1}}
    client = await wall.chat(request())
    assert client.json["usage"] == known


class TestWhole:
    async def test_the_answer_passes_unchanged_and_the_charge_is_booked_before(self, wall, fake):
        client = Client()
        wall.gate.on_settle = lambda: client.messages.append({"type": "settled"})
        await wall.chat(client=client)
        assert [message["type"] for message in client.messages] == [
            "settled",
            "http.response.start",
            "http.response.body",
        ]
        client.messages.pop(0)
        assert client.status == 200
        assert client.json["choices"][0]["message"]["content"] == "Hello there, this is fake."
        assert wall.gate.bill.charge_nanos == CHARGE
        assert parse_nanos(client.headers["x-paywall-cost"]) == CHARGE
        assert client.headers["x-paywall-decision"] == "allowed"
        assert client.headers["x-paywall-balance"] == "9.999981"

    async def test_the_bill_has_the_facts(self, wall):
        await wall.chat(feature="search", run="run-1")
        bill = wall.gate.bill
        assert (bill.status, bill.policy, bill.usage_source) == (
            "completed",
            "completed:usage",
            "provider",
        )
        assert bill.usage == {"prompt": 9, "completion": 5}
        assert (bill.model, bill.feature, bill.run) == ("fake/model", "search", "run-1")
        assert bill.provider_cost_nanos == CHARGE // 2
        assert [attempt["status"] for attempt in bill.attempts] == [200]

    async def test_what_the_caller_sent_reaches_the_provider(self, wall, fake):
        body = request(tools=[{"type": "function"}], seed=7, unheard_of={"x": 1})
        await wall.chat(body)
        sent = fake.requests[0].json
        assert {name: sent[name] for name in ("tools", "seed", "unheard_of", "messages")} == {
            name: body[name] for name in ("tools", "seed", "unheard_of", "messages")
        }

    async def test_the_user_is_a_stable_pseudonym_of_the_paywall(self, wall, fake, upstream):
        await wall.chat()
        await wall.chat()
        await wall_of(fake, upstream).chat()
        first, again, elsewhere = (seen.json["user"] for seen in fake.requests)
        assert first == again != elsewhere
        assert "acme" not in first

    async def test_no_usage_is_counted(self, wall, fake):
        fake.behaviour = "no-usage"
        await wall.chat()
        bill = wall.gate.bill
        assert bill.usage_source == "estimated"
        assert bill.policy == "usage_missing:estimate"
        assert bill.usage["completion"] == COUNTED
        assert 8 <= bill.usage["prompt"] <= 14

    @pytest.mark.parametrize("behaviour", ["garbage", "other-form", "cut", "gzip"])
    async def test_an_answer_that_is_none_is_an_error_and_free(self, wall, fake, behaviour):
        fake.behaviour = behaviour
        client = await wall.chat()
        assert client.status == 502
        assert client.headers["x-should-retry"] == "false"
        assert wall.gate.bill.charge_nanos == 0
        assert wall.gate.bill.status == "failed"

    async def test_an_empty_answer_is_free(self, wall, fake):
        fake.behaviour = "empty"
        fake.usage = {"prompt_tokens": 9, "completion_tokens": 0, "total_tokens": 9}
        client = await wall.chat()
        assert client.status == 200
        assert (wall.gate.bill.charge_nanos, wall.gate.bill.policy) == (0, "zero_output:free")

    async def test_an_empty_answer_costs_its_prompt_where_that_is_the_policy(self, fake, upstream):
        wall = wall_of(fake, upstream, policy=Policy(zero_output="prompt"))
        fake.behaviour = "empty"
        fake.usage = {"prompt_tokens": 9, "completion_tokens": 0, "total_tokens": 9}
        await wall.chat()
        assert wall.gate.bill.charge_nanos == 9_000
        assert wall.gate.bill.policy == "zero_output:prompt"

    async def test_reported_zero_is_zero_and_not_missing(self, wall, fake):
        fake.usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
        await wall.chat()
        assert wall.gate.bill.charge_nanos == 0
        assert wall.gate.bill.usage_source == "provider"

    @pytest.mark.parametrize(
        "usage",
        [
            {"prompt_tokens": -1, "completion_tokens": 5},
            {"prompt_tokens": 9.5, "completion_tokens": 5},
            {"prompt_tokens": "9", "completion_tokens": 5},
            {"prompt_tokens": 9, "completion_tokens": 2**63},
            {"prompt_tokens": 9, "completion_tokens": 5_000},
            {"prompt_tokens": 10**6, "completion_tokens": 5},
            {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 99}},
            None,
            "many",
        ],
    )  # fmt: skip
    async def test_usage_that_cannot_be_true_is_counted_instead(self, wall, fake, usage):
        fake.usage = usage
        await wall.chat()
        bill = wall.gate.bill
        assert bill.usage_source == "estimated"
        assert bill.usage["completion"] == COUNTED
        assert 0 < bill.charge_nanos < wall.gate.asks[0].want_nanos

    async def test_details_are_priced_once(self, wall, fake):
        wall.snapshot.rates = replace(RATES, cached=100_000_000, reasoning=3_000_000_000)
        fake.usage = {
            "prompt_tokens": 50,
            "completion_tokens": 40,
            "prompt_tokens_details": {"cached_tokens": 30},
            "completion_tokens_details": {"reasoning_tokens": 25},
        }
        await wall.chat(request(n=3))
        assert wall.gate.bill.charge_nanos == 20 * 1_000 + 30 * 100 + 15 * 2_000 + 25 * 3_000


class TestProviderTrouble:
    @pytest.mark.parametrize(
        ("behaviour", "status", "code"),
        [
            ("400", 400, "fake_code"),
            ("401", 502, "provider_auth"),
            ("404", 404, "fake_code"),
            ("429", 429, "upstream_rate_limited"),
            ("500", 502, "upstream_error"),
            ("503", 502, "upstream_error"),
            ("redirect", 502, "upstream_error"),
            ("not-http", 502, "upstream_error"),
        ],
    )
    @pytest.mark.parametrize("stream", [False, True])
    async def test_is_told_scrubbed_and_free(self, wall, fake, behaviour, status, code, stream):
        fake.behaviour = behaviour
        client = await wall.chat(request(stream=stream))
        assert client.status == status
        assert client.json["error"]["code"] == code
        assert b"secretsecret" not in client.body
        assert b"internal" not in client.body
        assert (wall.gate.bill.status, wall.gate.bill.charge_nanos) == ("failed", 0)
        assert wall.gate.bill.http_status == status
        assert not wall.gate.holds

    async def test_retry_after_is_passed_on(self, wall, fake):
        fake.behaviour = "429"
        client = await wall.chat()
        assert client.headers["retry-after"] == "7"
        assert "x-should-retry" not in client.headers

    async def test_silence_is_504_and_the_connection_is_closed(self, fake, upstream):
        fake.behaviour = "silent"
        wall = wall_of(fake, upstream, timeouts=replace(TIMEOUTS, first_byte_s=0.1))
        client = await wall.chat()
        assert client.status == 504
        await fake.wait_closed()

    async def test_a_developer_is_told_when_the_key_is_refused(self, wall, fake):
        fake.behaviour = "401"
        await wall.chat()
        assert wall.gate.bill.attempts[0]["trouble"].startswith("401")
        (told,) = wall.snapshots.noted.values()
        assert told.startswith("401")

    async def test_graceful_paywalls_say_it_as_the_assistant(self, wall, fake):
        fake.behaviour = "500"
        wall.settings["graceful"] = True
        client = await wall.chat()
        assert client.status == 200
        assert client.json["paywall"]["status"] == "model_unavailable"
        assert wall.gate.bill.charge_nanos == 0

    async def test_graceful_paywalls_still_tell_callers_their_own_mistakes(self, wall, fake):
        fake.behaviour = "400"
        wall.settings["graceful"] = True
        assert (await wall.chat()).status == 400


class TestFallback:
    @pytest.fixture
    async def second(self) -> AsyncIterator[FakeUpstream]:
        async with FakeUpstream(words=["second"]) as running:
            yield running

    @pytest.fixture
    def both(self, fake, second, upstream) -> Wall:
        models = [
            model(endpoint(fake.url, name="first", timeouts=replace(TIMEOUTS, first_byte_s=0.2))),
            model(endpoint(second.url, name="second")),
        ]
        return Wall(models=models, upstream=upstream)

    @pytest.mark.parametrize("behaviour", ["500", "503", "429", "silent", "stall", "not-http"])
    @pytest.mark.parametrize("stream", [False, True])
    async def test_before_the_first_byte_the_next_one_is_asked(
        self, both, fake, second, behaviour, stream
    ):
        both.models[0] = replace(
            both.models[0],
            endpoint=replace(
                both.models[0].endpoint, timeouts=replace(TIMEOUTS, first_byte_s=0.1, idle_s=0.1)
            ),
        )
        fake.behaviour = behaviour
        client = await both.chat(request(stream=stream))
        assert client.status == 200
        assert b"second" in client.body
        bill = both.gate.bill
        assert bill.model == "second/model"
        assert bill.charge_nanos == CHARGE
        assert len(bill.attempts) == 2
        assert bill.attempts[0]["error"]

    async def test_after_the_first_byte_nobody_else_is_asked(self, both, fake, second):
        fake.behaviour = "cut"
        client = await both.chat(request(stream=True))
        assert not second.requests
        assert "error" in client.events[-1]
        assert both.gate.bill.model == "first/model"

    @pytest.mark.parametrize("behaviour", ["400", "401"])
    async def test_what_another_provider_would_not_help_with_is_told_at_once(
        self, both, fake, second, behaviour
    ):
        fake.behaviour = behaviour
        await both.chat()
        assert not second.requests

    async def test_attempts_are_bounded(self, fake, upstream):
        fake.behaviour = "500"
        models = [model(endpoint(fake.url, name=f"c{number}")) for number in range(9)]
        await Wall(models=models, upstream=upstream).chat()
        assert len(fake.requests) == 3

    async def test_the_price_is_that_of_the_provider_that_answered(self, both, fake):
        fake.behaviour = "500"
        dearer = Rates(prompt=5_000_000_000, completion=7_000_000_000)
        both.snapshot = Snapshot(by_model={"second/model": dearer})
        await both.chat()
        assert both.gate.bill.charge_nanos == price_nanos(USAGE, dearer)

    async def test_one_that_the_hold_does_not_pay_for_is_left_out(self, both, fake, second):
        fake.behaviour = "500"
        dearer = Rates(prompt=5_000_000_000_000, completion=7_000_000_000_000)
        both.snapshot = Snapshot(by_model={"second/model": dearer})
        both.gate.balance = 10_000_000
        client = await both.chat()
        assert client.status == 502
        assert not second.requests


class TestBooksAway:
    async def test_a_stream_ends_without_done(self, wall):
        wall.gate.away = True
        client = await wall.chat(request(stream=True))
        assert b"[DONE]" not in client.body
        assert client.events[-1]["error"]["code"] == "platform_unavailable"
        assert client.is_complete

    async def test_a_whole_answer_is_withheld(self, wall):
        wall.gate.away = True
        client = await wall.chat()
        assert client.status == 503
        assert client.headers["x-should-retry"] == "false"
        assert b"fake." not in client.body


class TestKeptAnswers:
    @pytest.mark.parametrize("stream", [False, True])
    async def test_what_was_delivered_is_kept_where_the_owner_agreed(self, wall, stream):
        wall.settings["store_answers"] = True
        client = await wall.chat(request(stream=stream), idempotency=idempotency())
        [(body, content_type)] = wall.reads.answers.values()
        assert body == client.body
        assert content_type == client.headers["content-type"]

    async def test_nothing_is_kept_otherwise(self, wall):
        await wall.chat(idempotency=idempotency())
        wall.settings["store_answers"] = True
        await wall.chat()
        assert not wall.reads.answers
