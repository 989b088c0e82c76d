"""What users without money read, in every form that a client may have asked for."""

from uuid import uuid4

import orjson
import pytest
from openai.lib._parsing._completions import parse_chat_completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import BaseModel

from paywalls.decisions import Limited, NeedsGrant, NeedsTopUp, Refused, Repeated
from paywalls.links import checkout_url
from proxy.errors import PaywallPausedError, SpendLimitError
from tests.support.chats import Client, Wall, endpoint, idempotency, model, request

USER = uuid4()
BROKE = NeedsTopUp(user_id=USER, balance_nanos=1_234_567)


@pytest.fixture
def wall() -> Wall:
    wall = Wall(models=[model(endpoint())])
    wall.gate.decision = BROKE
    return wall


def content_of(client: Client) -> str:
    return str(client.json["choices"][0]["message"]["content"])


class TestMessage:
    async def test_is_an_ordinary_answer_with_the_link(self, wall):
        client = await wall.chat()
        answer = ChatCompletion.model_validate(client.json, strict=True)
        assert client.status == 200
        assert checkout_url(USER) in (answer.choices[0].message.content or "")
        assert answer.id.startswith("chatcmpl-paywall-")
        assert answer.choices[0].finish_reason == "stop"
        assert answer.usage is not None
        assert answer.usage.total_tokens == 0
        assert answer.model == "model"

    async def test_is_marked_for_programs(self, wall):
        client = await wall.chat()
        assert client.json["paywall"] == {
            "status": "topup_required",
            "reason": "insufficient_balance",
            "url": checkout_url(USER),
        }
        assert client.headers["x-paywall-decision"] == "topup_required"
        assert client.headers["x-paywall-cost"] == "0"
        assert client.headers["x-paywall-balance"] == "0.001234"
        assert not wall.gate.bills

    @pytest.mark.parametrize(
        ("decision", "status"),
        [
            (NeedsTopUp(user_id=USER, balance_nanos=0, debt=True), "debt"),
            (NeedsGrant(user_id=USER), "authorization_required"),
            (NeedsGrant(user_id=USER, cap_reached=True), "cap_reached"),
        ],
    )
    async def test_says_what_is_missing(self, wall, decision, status):
        wall.gate.decision = decision
        client = await wall.chat()
        assert client.json["paywall"]["status"] == status
        assert client.headers["x-paywall-decision"] == status

    async def test_says_it_in_the_words_of_the_paywall_and_evaluates_nothing_else(self, wall):
        texts = {"insufficient_funds": "{{ name }}: {{url}} {{7*7}} ${x}"}
        wall.settings["templates"] = texts
        assert content_of(await wall.chat()) == f"Wall: {checkout_url(USER)} {{{{7*7}}}} ${{x}}"

    async def test_gives_as_many_choices_as_were_asked_for(self, wall):
        client = await wall.chat(request(n=3))
        assert [choice["index"] for choice in client.json["choices"]] == [0, 1, 2]

    async def test_tools_are_not_called(self, wall):
        tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
        client = await wall.chat(request(tools=tools, tool_choice="required"))
        assert "tool_calls" not in client.json["choices"][0]["message"]

    @pytest.mark.parametrize("kind", ["json_object", "json_schema"])
    async def test_parses_as_json_where_json_was_asked_for(self, wall, kind):
        client = await wall.chat(request(response_format={"type": kind}))
        assert orjson.loads(content_of(client))["url"] == checkout_url(USER)

    async def test_a_schema_of_the_callers_does_not_make_the_client_fail(self, wall):
        class Answer(BaseModel):
            sum: int

        client = await wall.chat(request(response_format={"type": "json_schema"}))
        answer = ChatCompletion.model_validate(client.json)
        parsed = parse_chat_completion(
            response_format=Answer, input_tools=[], chat_completion=answer
        )
        assert parsed.choices[0].message.parsed is None
        assert checkout_url(USER) in (parsed.choices[0].message.refusal or "")


class TestStream:
    async def test_is_a_valid_stream(self, wall):
        client = await wall.chat(request(stream=True))
        *chunks, done = client.events
        assert done == "[DONE]"
        found = [ChatCompletionChunk.model_validate(chunk) for chunk in chunks]
        assert found[0].choices[0].delta.role == "assistant"
        assert checkout_url(USER) in client.text
        assert found[-1].choices[0].finish_reason == "stop"
        assert all(chunk["paywall"]["status"] == "topup_required" for chunk in chunks)
        assert client.headers["x-paywall-decision"] == "topup_required"
        assert client.is_complete

    async def test_has_usage_only_where_it_was_asked_for(self, wall):
        plain = await wall.chat(request(stream=True))
        asked = await wall.chat(request(stream=True, stream_options={"include_usage": True}))
        assert not any("usage" in chunk for chunk in plain.events[:-1])
        assert asked.events[-2]["usage"]["total_tokens"] == 0
        assert asked.events[-2]["choices"] == []

    async def test_streams_every_choice(self, wall):
        client = await wall.chat(request(stream=True, n=2))
        ended = [
            choice["index"]
            for chunk in client.events[:-1]
            for choice in chunk["choices"]
            if choice["finish_reason"]
        ]
        assert ended == [0, 1]


class TestErrorMode:
    @pytest.mark.parametrize("stream", [False, True])
    async def test_is_402_with_the_same_facts(self, wall, stream):
        client = await wall.chat(request(stream=stream), error_mode=True)
        error = client.json["error"]
        assert client.status == 402
        assert error["code"] == "topup_required"
        assert error["url"] == checkout_url(USER)
        assert error["reason"] == "insufficient_balance"
        assert client.headers["x-paywall-decision"] == "topup_required"
        assert "retry-after" not in client.headers


class TestOtherDecisions:
    async def test_a_limit_of_the_developers_is_429(self, wall):
        wall.gate.decision = Limited(
            code="spend_limit", kind="spend_day", subject="user", limit=10**9, retry_after_s=60
        )
        with pytest.raises(SpendLimitError) as caught:
            await wall.chat()
        assert caught.value.retry_after_s == 60

    async def test_what_closed_meanwhile_is_refused(self, wall):
        wall.gate.decision = Refused(code="paywall_paused")
        with pytest.raises(PaywallPausedError):
            await wall.chat()


class TestRepeated:
    @pytest.mark.parametrize(
        ("state", "status", "code"),
        [
            ("in_progress", 409, "idempotency_in_progress"),
            ("mismatch", 422, "idempotency_mismatch"),
            ("completed", 409, "already_completed"),
        ],
    )
    async def test_never_reaches_a_provider_again(self, wall, state, status, code):
        wall.gate.decision = Repeated(state=state, request_id=uuid4(), charged_nanos=5_000)
        client = await wall.chat(idempotency=idempotency())
        assert (client.status, client.json["error"]["code"]) == (status, code)
        if state == "completed":
            assert client.json["error"]["cost"] == "0.000005"
            assert client.json["error"]["request_id"].startswith("req_")

    async def test_a_kept_answer_is_given_again_as_it_was(self, wall):
        request_id = uuid4()
        wall.gate.decision = Repeated(state="completed", request_id=request_id, charged_nanos=7)
        wall.reads.answers[request_id] = (b"data: [DONE]\n\n", "text/event-stream")
        client = await wall.chat(idempotency=idempotency())
        assert client.body == b"data: [DONE]\n\n"
        assert client.headers["content-type"] == "text/event-stream"
        assert client.headers["idempotent-replayed"] == "true"
        assert client.headers["x-paywall-cost"] == "0.000000007"
