"""OpenAI's own Python client, over a real socket: only base URL and key are ours."""

from collections.abc import Iterator
from typing import Any

import httpx
import openai
import orjson
import pytest
from pydantic import BaseModel

from tests.contracts.conftest import Bill, Paying
from tests.support.product import Shop

MODEL = "echo-1"
HELLO: Any = [{"role": "user", "content": "Hello there!"}]
ASKS_WEATHER: Any = [{"role": "user", "content": "Use the tool: how is the weather in Oslo?"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}


class City(BaseModel):
    name: str
    people: int


@pytest.fixture
def client(shop: Shop) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key=shop.token, base_url=shop.api, max_retries=0) as made:
        yield made


def ask(client: openai.OpenAI, bill: Bill | None, **more: Any) -> Any:
    """A whole answer; notes the cost in its header."""
    wanted: Any = {"model": MODEL, "messages": HELLO} | more
    raw = client.chat.completions.with_raw_response.create(**wanted)
    if bill is not None:
        bill.add(raw.headers["x-paywall-cost"])
    return raw.parse()


def ask_stream(client: openai.OpenAI, bill: Bill, **more: Any) -> list[Any]:
    """All chunks; notes the cost in the last one's usage."""
    wanted: Any = {
        "model": MODEL,
        "messages": HELLO,
        "stream": True,
        "stream_options": {"include_usage": True},
    } | more
    chunks = list(client.chat.completions.create(**wanted))
    bill.add(chunks[-1].usage.cost)
    return chunks


def text_of(chunks: list[Any], index: int = 0) -> str:
    choices = [choice for chunk in chunks for choice in chunk.choices if choice.index == index]
    return "".join(choice.delta.content or "" for choice in choices)


class TestAnswers:
    def test_whole(self, client, user: str, paying: Paying):
        with paying() as bill:
            answer = ask(client, bill, user=user)
        assert answer.choices[0].message.content.startswith("You said: “Hello there!”.")
        assert answer.usage.total_tokens > 20

    def test_streamed(self, client, user: str, paying: Paying):
        with paying() as bill:
            chunks = ask_stream(client, bill, user=user)
        assert text_of(chunks).startswith("You said: “Hello there!”.")
        assert len(chunks) > 20
        assert chunks[-1].usage.completion_tokens > 20

    def test_streamed_without_usage_costs_the_same(self, client, shop: Shop, user: str, paying):
        with paying() as bill:
            counted = ask_stream(client, bill, user=user)
        before = shop.wallet(user).posted
        chunks = list(
            client.chat.completions.create(model=MODEL, messages=HELLO, user=user, stream=True)
        )
        assert before - shop.wallet(user).posted == bill.reported[0]
        assert not any(chunk.usage for chunk in chunks)
        assert all(chunk.choices for chunk in chunks)
        assert text_of(chunks) == text_of(counted)

    def test_limited(self, client, user: str, paying: Paying):
        with paying() as bill:
            for name in ("max_tokens", "max_completion_tokens"):
                answer = ask(client, bill, user=user, **{name: 5})
                assert answer.choices[0].finish_reason == "length"
                assert answer.usage.completion_tokens == 5

    def test_several(self, client, user: str, paying: Paying):
        with paying() as bill:
            answer = ask(client, bill, user=user, n=3)
            chunks = ask_stream(client, bill, user=user, n=3)
        assert [choice.index for choice in answer.choices] == [0, 1, 2]
        for choice in answer.choices:
            assert text_of(chunks, choice.index) == choice.message.content

    @pytest.mark.parametrize(
        "name", ["echo-1-cached", "echo-1-reasoning", "echo-1-no-usage", "echo-1-overrun"]
    )
    def test_of_models_that_count_in_their_own_way(self, client, user: str, paying, name: str):
        with paying() as bill:
            ask(client, bill, model=f"{name}", user=user, max_tokens=200)

    def test_in_json(self, client, user: str, paying: Paying):
        with paying() as bill:
            answer = ask(client, bill, user=user, response_format={"type": "json_object"})
        assert orjson.loads(answer.choices[0].message.content)["echo"] == "Hello there!"

    def test_in_a_schema(self, client, shop: Shop, user: str):
        before = shop.wallet(user).posted
        answer = client.chat.completions.parse(
            model=MODEL, messages=HELLO, user=user, response_format=City
        )
        assert isinstance(answer.choices[0].message.parsed, City)
        assert shop.wallet(user).posted < before

    def test_with_a_tool_and_its_result(self, client, user: str, paying: Paying):
        with paying() as bill:
            asked = ask(client, bill, user=user, messages=ASKS_WEATHER, tools=[WEATHER])
            (call,) = asked.choices[0].message.tool_calls
            assert asked.choices[0].finish_reason == "tool_calls"
            assert call.function.name == "weather"
            assert "city" in orjson.loads(call.function.arguments)
            result = {"role": "tool", "tool_call_id": call.id, "content": "It snows."}
            messages = [*ASKS_WEATHER, asked.choices[0].message, result]
            answer = ask(client, bill, user=user, messages=messages, tools=[WEATHER])
        assert "It snows." in answer.choices[0].message.content

    def test_with_a_tool_in_a_stream(self, client, user: str, paying: Paying):
        with paying() as bill:
            chunks = ask_stream(client, bill, user=user, messages=ASKS_WEATHER, tools=[WEATHER])
        deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
        calls = [call for delta in deltas for call in delta.tool_calls or ()]
        assert calls[0].function.name == "weather"
        arguments = "".join(call.function.arguments or "" for call in calls)
        assert "city" in orjson.loads(arguments)


class TestBroke:
    """Who has no money: every form of answer holds, and the link is in it."""

    USER = "user_broke"

    def test_whole(self, client):
        answer = ask(client, None, user=self.USER)
        link = answer.paywall["url"]
        assert link in answer.choices[0].message.content
        assert answer.id.startswith("chatcmpl-paywall-")
        assert answer.usage.total_tokens == 0
        page = httpx.get(link, follow_redirects=True, trust_env=False)
        assert page.status_code == 200
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe-inline" not in policy

    def test_streamed(self, client):
        chunks = list(
            client.chat.completions.create(model=MODEL, messages=HELLO, user=self.USER, stream=True)
        )
        assert chunks[0].choices[0].delta.role == "assistant"
        assert chunks[0].paywall["url"] in text_of(chunks)
        assert chunks[-1].choices[0].finish_reason == "stop"

    @pytest.mark.parametrize("choices", [1, 3])
    def test_with_the_streaming_helper(self, client, choices: int):
        wanted: Any = {"model": MODEL, "messages": HELLO, "user": self.USER, "n": choices}
        with client.chat.completions.stream(**wanted, response_format=City) as stream:
            answer = stream.get_final_completion()
        assert len(answer.choices) == choices
        assert all("/v1/checkout/" in choice.message.refusal for choice in answer.choices)

    def test_in_a_schema(self, client):
        answer = client.chat.completions.parse(
            model=MODEL, messages=HELLO, user=self.USER, response_format=City
        )
        assert answer.choices[0].message.parsed is None
        assert "/v1/checkout/" in answer.choices[0].message.refusal

    def test_in_json(self, client):
        answer = ask(client, None, user=self.USER, response_format={"type": "json_object"})
        said = orjson.loads(answer.choices[0].message.content)
        assert said["url"] in said["message"]

    def test_with_tools_and_several_choices(self, client):
        answer = ask(client, None, user=self.USER, tools=[WEATHER], tool_choice="required", n=3)
        for choice in answer.choices:
            assert not choice.message.tool_calls
            assert "/v1/checkout/" in choice.message.content

    def test_as_an_error_where_that_is_wanted(self, client):
        with pytest.raises(openai.APIStatusError) as refusal:
            ask(client, None, user=self.USER, extra_headers={"X-Paywall-Mode": "error"})
        assert (refusal.value.status_code, refusal.value.code) == (402, "topup_required")
        assert "retry-after" not in refusal.value.response.headers


class TestErrors:
    @pytest.mark.parametrize(
        ("more", "kind", "code"),
        [
            ({"user": openai.omit}, openai.BadRequestError, "missing_user"),
            ({"model": "nothing"}, openai.NotFoundError, "model_not_found"),
            ({"messages": []}, openai.BadRequestError, "invalid_request_error"),
            ({"max_tokens": 0}, openai.BadRequestError, "invalid_request_error"),
            ({"model": "echo-1-429"}, openai.RateLimitError, "upstream_rate_limited"),
            ({"model": "echo-1-500"}, openai.InternalServerError, "upstream_error"),
            ({"model": "echo-1-cut"}, openai.InternalServerError, "upstream_error"),
            ({"model": "echo-1-garbage"}, openai.InternalServerError, "upstream_error"),
        ],
    )
    def test_are_its_own_exceptions_and_cost_nothing(self, client, shop, user, more, kind, code):
        before = shop.wallet(user)
        with pytest.raises(kind) as refusal:
            ask(client, None, **({"user": user} | more))
        assert refusal.value.code == code
        assert refusal.value.request_id.startswith("req_")
        assert shop.wallet(user) == before

    def test_a_wrong_key(self, client):
        with pytest.raises(openai.AuthenticationError) as refusal:
            client.with_options(api_key="sk-wrong").models.list()
        assert refusal.value.code == "invalid_api_key"

    def test_a_key_that_was_used(self, client, shop: Shop, user: str):
        once = {"Idempotency-Key": f"once-{user}"}
        ask(client, None, user=user, extra_headers=once)
        after = shop.wallet(user)
        with pytest.raises(openai.ConflictError) as conflict:
            ask(client, None, user=user, extra_headers=once)
        assert conflict.value.code == "already_completed"
        assert conflict.value.response.headers["x-should-retry"] == "false"
        with pytest.raises(openai.UnprocessableEntityError) as mismatch:
            ask(client, None, user=user, seed=1, extra_headers=once)
        assert mismatch.value.code == "idempotency_mismatch"
        assert shop.wallet(user) == after

    def test_a_stream_that_breaks_off(self, client, shop: Shop, user: str):
        chunks = client.chat.completions.create(
            model="echo-1-cut", messages=HELLO, user=user, stream=True
        )
        with pytest.raises(openai.APIError) as broken:
            list(chunks)
        assert broken.value.code == "upstream_error"
        assert 0 < shop.wallet(user).posted < 10**9


def test_models_are_listed_with_their_selling_prices(client):
    prices = {model.id.partition("/")[2]: model.pricing for model in client.models.list()}
    assert (prices[MODEL]["prompt"], prices[MODEL]["completion"]) == ("1.2", "2.4")
