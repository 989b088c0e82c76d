import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import hypothesis
import orjson
import pytest
from hypothesis import strategies as st

from providers import tokens
from providers.demo.answers import words
from providers.demo.app import Demo
from providers.demo.models import MODELS
from providers.demo.samples import sample

HI = [{"role": "user", "content": "Say hi to Oslo."}]


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=Demo(word_s=0))
    async with httpx.AsyncClient(transport=transport, base_url="http://demo") as client:
        yield client


async def ask(client: httpx.AsyncClient, **request: Any) -> dict[str, Any]:
    body = {"model": "echo-1", "messages": HI} | request
    response = await client.post("/v1/chat/completions", json=body)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


async def stream(client: httpx.AsyncClient, **request: Any) -> list[dict[str, Any]]:
    body = {"model": "echo-1", "messages": HI, "stream": True} | request
    response = await client.post("/v1/chat/completions", json=body)
    *events, done, rest = response.text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    return [json.loads(event.removeprefix("data: ")) for event in events]


def text_of(answer: dict[str, Any]) -> str:
    text: str = answer["choices"][0]["message"]["content"]
    return text


class TestAnswer:
    async def test_it_echoes_and_is_the_same_each_time(self, client: httpx.AsyncClient):
        first, second = await ask(client), await ask(client)
        assert "Say hi to Oslo." in text_of(first)
        assert first["choices"] == second["choices"]
        assert first["usage"] == second["usage"]

    async def test_usage_is_what_the_tokenizer_counts(self, client: httpx.AsyncClient):
        answer = await ask(client)
        usage = answer["usage"]
        assert usage["prompt_tokens"] == tokens.count_prompt({"messages": HI}, "echo-1")
        assert usage["completion_tokens"] == tokens.count_tokens(text_of(answer), "echo-1")
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]

    @pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
    @pytest.mark.parametrize("limit", [1, 7])
    async def test_the_output_limit(self, client: httpx.AsyncClient, field: str, limit: int):
        answer = await ask(client, **{field: limit})
        assert answer["usage"]["completion_tokens"] == limit
        assert answer["choices"][0]["finish_reason"] == "length"

    @pytest.mark.parametrize("stop", ["Oslo", ["Oslo", "hi"]])
    async def test_stop(self, client: httpx.AsyncClient, stop: Any):
        answer = await ask(client, stop=stop)
        assert "Oslo" not in text_of(answer)
        assert answer["choices"][0]["finish_reason"] == "stop"

    async def test_several_choices_are_all_counted(self, client: httpx.AsyncClient):
        answer = await ask(client, n=3)
        texts = [choice["message"]["content"] for choice in answer["choices"]]
        assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
        assert len(set(texts)) == 3
        counted = sum(tokens.count_tokens(text, "echo-1") for text in texts)
        assert answer["usage"]["completion_tokens"] == counted

    async def test_json_object(self, client: httpx.AsyncClient):
        answer = await ask(client, response_format={"type": "json_object"})
        assert orjson.loads(text_of(answer))["echo"] == "Say hi to Oslo."

    async def test_json_schema(self, client: httpx.AsyncClient):
        schema = {"type": "object", "properties": {"city": {"type": "string"}}}
        wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
        answer = await ask(client, response_format=wanted)
        assert orjson.loads(text_of(answer)) == {"city": "Say hi to Oslo."}

    async def test_vision_parts_are_accepted(self, client: httpx.AsyncClient):
        parts = [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        ]
        answer = await ask(client, messages=[{"role": "user", "content": parts}])
        assert "1 image" in text_of(answer)
        assert "What is this?" in text_of(answer)


TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"days": {"type": "integer"}}},
    },
}


class TestTools:
    @pytest.mark.parametrize(
        "request_",
        [
            {"messages": [{"role": "user", "content": "Use a tool, please."}]},
            {"messages": [{"role": "user", "content": "Try get_weather."}]},
            {"messages": HI, "tool_choice": "required"},
            {
                "messages": HI,
                "tool_choice": {"type": "function", "function": {"name": "get_weather"}},
            },
        ],
    )
    async def test_a_call(self, client: httpx.AsyncClient, request_: dict[str, Any]):
        answer = await ask(client, tools=[TOOL], **request_)
        (choice,) = answer["choices"]
        assert choice["finish_reason"] == "tool_calls"
        (call,) = choice["message"]["tool_calls"]
        assert call["function"]["name"] == "get_weather"
        assert orjson.loads(call["function"]["arguments"]) == {"days": 1}
        assert answer["usage"]["completion_tokens"] > 0

    @pytest.mark.parametrize("more", [{}, {"tool_choice": "none"}])
    async def test_no_call_unless_asked(self, client: httpx.AsyncClient, more: dict[str, Any]):
        answer = await ask(client, tools=[TOOL], **more)
        assert answer["choices"][0]["finish_reason"] == "stop"

    async def test_the_tools_result_is_answered(self, client: httpx.AsyncClient):
        messages = [*HI, {"role": "tool", "tool_call_id": "x", "content": "rain"}]
        answer = await ask(client, tools=[TOOL], messages=messages)
        assert "The tool answered: “rain”" in text_of(answer)

    async def test_a_streamed_call_joins_to_the_same(self, client: httpx.AsyncClient):
        chunks = await stream(client, tools=[TOOL], tool_choice="required")
        deltas = [
            call["function"]["arguments"]
            for chunk in chunks
            for choice in chunk["choices"]
            for call in choice["delta"].get("tool_calls", [])
        ]
        assert orjson.loads("".join(deltas)) == {"days": 1}


class TestStream:
    async def test_it_joins_to_the_whole_answer(self, client: httpx.AsyncClient):
        chunks = await stream(client)
        text = "".join(
            choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"]
        )
        assert text == text_of(await ask(client))
        assert len(chunks) == len(words(text)) + 2
        assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
        assert all("usage" not in chunk for chunk in chunks)

    async def test_usage_comes_last_when_asked_for(self, client: httpx.AsyncClient):
        chunks = await stream(client, stream_options={"include_usage": True})
        assert chunks[-1]["choices"] == []
        assert chunks[-1]["usage"] == (await ask(client))["usage"]


class TestModels:
    async def test_the_list(self, client: httpx.AsyncClient):
        listed = (await client.get("/v1/models")).json()
        assert [model["id"] for model in listed["data"]] == list(MODELS)

    async def test_reasoning_is_part_of_the_completion(self, client: httpx.AsyncClient):
        usage = (await ask(client, model="echo-1-reasoning"))["usage"]
        reasoning = usage["completion_tokens_details"]["reasoning_tokens"]
        assert 0 < reasoning < usage["completion_tokens"]
        short = await ask(client, model="echo-1-reasoning", max_tokens=10)
        assert short["usage"]["completion_tokens"] == 10

    async def test_cached_is_part_of_the_prompt(self, client: httpx.AsyncClient):
        usage = (await ask(client, model="echo-1-cached"))["usage"]
        assert 0 < usage["prompt_tokens_details"]["cached_tokens"] < usage["prompt_tokens"]

    async def test_overrun_ignores_the_limit(self, client: httpx.AsyncClient):
        usage = (await ask(client, model="echo-1-overrun", max_tokens=5))["usage"]
        assert usage["completion_tokens"] > 200

    async def test_no_usage(self, client: httpx.AsyncClient):
        assert "usage" not in await ask(client, model="echo-1-no-usage")
        options = {"include_usage": True}
        chunks = await stream(client, model="echo-1-no-usage", stream_options=options)
        assert all("usage" not in chunk for chunk in chunks)

    @pytest.mark.parametrize(
        ("model", "status"), [("echo-1-429", 429), ("echo-1-500", 500), ("gpt-4o", 404)]
    )
    async def test_failures(self, client: httpx.AsyncClient, model: str, status: int):
        body = {"model": model, "messages": HI}
        response = await client.post("/v1/chat/completions", json=body)
        assert response.status_code == status
        assert response.json()["error"]["message"]
        assert (status == 429) == ("retry-after" in response.headers)

    async def test_garbage_is_not_json(self, client: httpx.AsyncClient):
        body = {"model": "echo-1-garbage", "messages": HI}
        response = await client.post("/v1/chat/completions", json=body)
        with pytest.raises(ValueError):  # noqa: PT011 - json's own
            response.json()

    @pytest.mark.parametrize(
        "body",
        [b"", b"[]", b"{}", b'{"model":"echo-1","messages":[]}', b'{"model":1,"messages":[{}]}'],
    )
    async def test_bad_requests(self, client: httpx.AsyncClient, body: bytes):
        assert (await client.post("/v1/chat/completions", content=body)).status_code == 400

    async def test_other_paths(self, client: httpx.AsyncClient):
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        assert (await client.get("/nothing")).status_code == 404


class TestConnection:
    async def run(self, model: str, *, word_s: float, leaves: bool) -> list[dict[str, Any]]:
        """What is sent to a client that leaves after its request, or listens to the end."""
        body = orjson.dumps({"model": model, "messages": HI, "stream": True})
        received = [{"type": "http.request", "body": body}]
        sent: list[dict[str, Any]] = []

        async def receive() -> Any:
            if not received and not leaves:
                await asyncio.Event().wait()
            return received.pop() if received else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions"}
        await Demo(word_s=word_s)(scope, receive, send)
        return sent

    async def test_it_stops_when_nobody_listens(self):
        sent = await self.run("echo-1", word_s=60, leaves=True)
        assert len(sent) == 2

    async def test_it_ends_what_it_began(self):
        sent = await self.run("echo-1", word_s=0, leaves=False)
        assert sent[-1] == {"type": "http.response.body", "body": b""}

    async def test_cut_leaves_the_end_open(self):
        sent = await self.run("echo-1-cut", word_s=0, leaves=False)
        assert sent[-1]["more_body"]
        assert b"[DONE]" not in sent[-1]["body"]


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"enum": ["a", "b"]}, "a"),
        ({"const": 3}, 3),
        ({"type": ["null", "string"]}, None),
        ({"type": "integer", "minimum": 5}, 5),
        ({"type": "boolean"}, True),
        ({"type": "array", "items": {"type": "number"}, "minItems": 2}, [1, 1]),
        ({"type": "string", "maxLength": 2}, "te"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "text"),
        ({"$ref": "#/$defs/x", "$defs": {"x": {"type": "boolean"}}}, True),
        ({"properties": {"a": {"type": "string"}}}, {"a": "text"}),
        ({"$ref": "#"}, None),
        ({"type": "string", "minLength": 10**9}, "text" + "." * 196),
        ({"type": "string", "maxLength": "x", "minLength": -1}, "text"),
        ({"type": "object", "properties": [1]}, {}),
        ({"enum": "abc"}, "text"),
    ],
)
def test_samples_fit(schema: dict[str, Any], value: Any):
    assert sample(schema, "text") == value


def test_a_schema_that_refers_to_itself_ends():
    names = "abcdefghij"
    schema = {"type": "object", "properties": {name: {"$ref": "#"} for name in names}}
    assert str(sample(schema, "text")).count(":") <= 1_000


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 300) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
FIELDS = ("messages", "tools", "tool_choice", "response_format", "stop", "n", "stream_options")


@hypothesis.settings(max_examples=150, deadline=None)
@hypothesis.given(st.dictionaries(st.sampled_from(FIELDS), JSON))
async def test_no_request_breaks_it(fields: dict[str, Any]):
    transport = httpx.ASGITransport(app=Demo(word_s=0))
    async with httpx.AsyncClient(transport=transport, base_url="http://demo") as client:
        body = {"model": "echo-1", "messages": HI} | fields
        response = await client.post("/v1/chat/completions", json=body)
    assert response.status_code in (200, 400)
