from typing import Any

import orjson
import pytest

from paywalls.pricing import COUNT_MAX, Usage
from providers.adapters.base import UsageError
from providers.adapters.registry import ADAPTERS
from providers.errors import (
    AccountError,
    BusyError,
    FailedError,
    LateError,
    ProviderError,
    RejectedError,
)
from providers.models import Connection

KINDS = sorted(ADAPTERS)
CHAT = {"model": "fast", "messages": [{"role": "user", "content": "hi"}], "seed": 7, "x_new": [1]}


def failed(kind: str, status: int, body: Any = None, **headers: bytes) -> ProviderError:
    named = {name.replace("_", "-").encode(): value for name, value in headers.items()}
    return ADAPTERS[kind].error(status, named, orjson.dumps(body or {}))


def test_every_kind_has_an_adapter():
    assert set(KINDS) == set(Connection.Kind.values)


@pytest.mark.parametrize("kind", KINDS)
class TestBody:
    def test_passes_everything_and_names_the_model(self, kind: str):
        body = ADAPTERS[kind].body(CHAT, model="up", stream=False, user="p1")
        assert body == CHAT | {"model": "up", "user": "p1"}

    def test_the_person_is_a_pseudonym(self, kind: str):
        told = CHAT | {"user": "ann@example.com", "safety_identifier": "ann@example.com"}
        body = ADAPTERS[kind].body(told, model="up", stream=False, user="p1")
        assert b"ann@" not in orjson.dumps(body)

    @pytest.mark.parametrize("options", [None, {}, "garbage", {"include_usage": False, "x": 1}])
    def test_a_stream_asks_for_usage(self, kind: str, options: Any):
        told = CHAT if options is None else CHAT | {"stream_options": options}
        body = ADAPTERS[kind].body(told, model="up", stream=True, user="p1")
        assert body["stream"] is True
        assert body["stream_options"]["include_usage"] is True
        if isinstance(options, dict) and "x" in options:
            assert body["stream_options"]["x"] == 1

    def test_the_request_is_not_changed(self, kind: str):
        told = CHAT | {"stream": True, "max_tokens": 5, "stream_options": {}}
        before = orjson.dumps(told)
        ADAPTERS[kind].body(told, model="up", stream=True, user="p1")
        assert orjson.dumps(told) == before


@pytest.mark.parametrize(
    ("kind", "given", "sent"),
    [
        ("openai", {"max_tokens": 9}, {"max_completion_tokens": 9}),
        ("openai", {"max_tokens": 9, "max_completion_tokens": 5}, {"max_completion_tokens": 5}),
        ("together", {"max_completion_tokens": 9}, {"max_tokens": 9}),
        ("compatible", {"max_completion_tokens": 9}, {"max_completion_tokens": 9}),
        ("compatible", {"max_tokens": 9}, {"max_tokens": 9}),
    ],
)
def test_the_output_limit_is_said_in_the_providers_word(
    kind: str, given: dict[str, int], sent: dict[str, int]
):
    body = ADAPTERS[kind].body(CHAT | given, model="up", stream=False, user="p1")
    assert {name: value for name, value in body.items() if name.startswith("max_")} == sent


FULL = {
    "prompt_tokens": 100,
    "completion_tokens": 50,
    "total_tokens": 150,
    "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 10, "audio_tokens": 5},
    "completion_tokens_details": {"reasoning_tokens": 30, "audio_tokens": 4},
    "cost": 0.5,
    "anything": "else",
}


@pytest.mark.parametrize("kind", KINDS)
class TestUsage:
    def test_every_class(self, kind: str):
        assert ADAPTERS[kind].usage({"usage": FULL}) == Usage(
            prompt=100,
            cached=60,
            cache_write=10,
            audio_prompt=5,
            completion=50,
            reasoning=30,
            audio_completion=4,
        )

    @pytest.mark.parametrize(
        "payload",
        [
            {},
            {"usage": None},
            {"usage": {}},
            {"usage": {"prompt_tokens": None, "completion_tokens": None}},
            {"choices": []},
        ],
    )
    def test_null_is_not_zero(self, kind: str, payload: dict[str, Any]):
        assert ADAPTERS[kind].usage(payload) is None

    def test_zero_is_zero(self, kind: str):
        zero = {"usage": {"prompt_tokens": 0, "completion_tokens": 0}}
        assert ADAPTERS[kind].usage(zero) == Usage()

    def test_details_may_be_null(self, kind: str):
        reported = {
            "prompt_tokens": 3,
            "completion_tokens": 2,
            "prompt_tokens_details": None,
            "completion_tokens_details": {"reasoning_tokens": None},
        }
        assert ADAPTERS[kind].usage({"usage": reported}) == Usage(prompt=3, completion=2)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"prompt_tokens": -1},
            {"prompt_tokens": 1.0},
            {"prompt_tokens": "10"},
            {"prompt_tokens": True},
            {"prompt_tokens": COUNT_MAX + 1},
            {"completion_tokens": [5]},
            {"prompt_tokens_details": {"cached_tokens": 101}},
            {"prompt_tokens_details": {"cached_tokens": 95, "audio_tokens": 6}},
            {"prompt_tokens_details": {"cached_tokens": -1}},
            {"prompt_tokens_details": [1]},
            {"completion_tokens_details": {"reasoning_tokens": 51}},
            {"completion_tokens_details": {"reasoning_tokens": 1.5}},
        ],
    )
    def test_garbage_is_told(self, kind: str, wrong: dict[str, Any]):
        with pytest.raises(UsageError):
            ADAPTERS[kind].usage({"usage": FULL | wrong})

    @pytest.mark.parametrize("usage", ["12", 12, [1], True])
    def test_no_object(self, kind: str, usage: Any):
        with pytest.raises(UsageError):
            ADAPTERS[kind].usage({"usage": usage})


class TestQuirks:
    def usage(self, kind: str, **reported: Any) -> Usage | None:
        return ADAPTERS[kind].usage({"usage": reported})

    def test_anthropic_leaves_the_cache_out_of_its_native_count(self):
        found = self.usage(
            "anthropic",
            input_tokens=10,
            output_tokens=4,
            cache_read_input_tokens=100,
            cache_creation_input_tokens=20,
        )
        assert found == Usage(prompt=130, cached=100, cache_write=20, completion=4)

    def test_together_says_cached_flat(self):
        found = self.usage("together", prompt_tokens=10, completion_tokens=1, cached_tokens=8)
        assert found == Usage(prompt=10, cached=8, completion=1)
        with pytest.raises(UsageError):
            self.usage("together", prompt_tokens=10, completion_tokens=1, cached_tokens=11)

    def test_openrouter_counts_searches(self):
        found = self.usage(
            "openrouter",
            prompt_tokens=1,
            completion_tokens=1,
            server_tool_use={"web_search_requests": 3},
        )
        assert found == Usage(prompt=1, completion=1, tools=3)

    def test_compatible_knows_deepseek(self):
        found = self.usage(
            "compatible", prompt_tokens=10, completion_tokens=2, prompt_cache_hit_tokens=6
        )
        assert found == Usage(prompt=10, cached=6, completion=2)

    def test_compatible_knows_the_responses_form(self):
        found = self.usage(
            "compatible",
            input_tokens=10,
            output_tokens=6,
            input_tokens_details={"cached_tokens": 4},
            output_tokens_details={"reasoning_tokens": 3},
        )
        assert found == Usage(prompt=10, cached=4, completion=6, reasoning=3)

    def test_compatible_knows_reasoning_beside_the_completion(self):
        found = self.usage(
            "compatible",
            prompt_tokens=10,
            completion_tokens=1,
            total_tokens=311,
            completion_tokens_details={"reasoning_tokens": 300},
        )
        assert found == Usage(prompt=10, completion=301, reasoning=300)

    @pytest.mark.parametrize(
        ("reported", "nanos"),
        [
            ({"cost": 0.00014}, 140_000),
            ({"cost": 1e-10}, 1),
            ({"cost": 0}, 0),
            ({"cost": None}, None),
            ({}, None),
            ({"cost": 0.1, "cost_details": {"upstream_inference_cost": 5}}, 100_000_000),
            (
                {"cost": 0.1, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.2}},
                300_000_000,
            ),
        ],
    )
    def test_openrouter_says_what_it_cost(self, reported: dict[str, Any], nanos: int | None):
        assert ADAPTERS["openrouter"].cost_nanos({"usage": reported}) == nanos
        assert ADAPTERS["openai"].cost_nanos({"usage": reported}) is None

    @pytest.mark.parametrize("cost", [-0.1, "0.1", True, 1e300, float("nan"), float("inf")])
    def test_openrouter_cost_garbage(self, cost: Any):
        with pytest.raises(UsageError):
            ADAPTERS["openrouter"].cost_nanos({"usage": {"cost": cost}})


SECRET = "sk-proj-abcdefgh12345678"


@pytest.mark.parametrize("kind", KINDS)
class TestError:
    def test_the_callers_mistake_passes_through_scrubbed(self, kind: str):
        told = f"Context is 8192 tokens. Key {SECRET} at https://up.example/v1\nand 10.0.0.8:80."
        body = {"error": {"message": told, "code": "context_length_exceeded", "param": "messages"}}
        error = failed(kind, 400, body)
        assert isinstance(error, RejectedError)
        assert (error.status, error.code) == (400, "context_length_exceeded")
        assert error.param == "messages"
        assert error.message.startswith("Context is 8192 tokens.")
        for secret in (SECRET, "up.example", "10.0.0.8", "\n"):
            assert secret not in error.message

    @pytest.mark.parametrize("status", [404, 413, 422])
    def test_its_status_too(self, kind: str, status: int):
        assert failed(kind, status, {"error": "no"}).status == status

    @pytest.mark.parametrize("status", [401, 402, 403])
    def test_a_refused_key_is_the_developers_trouble(self, kind: str, status: int):
        error = failed(kind, status, {"error": {"message": f"Bad key {SECRET}"}})
        assert isinstance(error, AccountError)
        assert (error.status, error.code, error.transient) == (502, "provider_auth", False)
        assert SECRET not in error.message
        assert SECRET not in error.trouble
        assert error.trouble.startswith(f"{status}: ")

    @pytest.mark.parametrize(
        ("value", "seconds"),
        [(b"7", 7), (b"99999", 3600), (b"-1", None), (b"Fri, 20 Nov 2026 04:05:06 GMT", None)],
    )
    def test_wait_is_passed_on(self, kind: str, value: bytes, seconds: int | None):
        error = failed(kind, 429, {"error": {"message": "slow"}}, retry_after=value)
        assert isinstance(error, BusyError)
        assert (error.status, error.retry_after_s) == (429, seconds)

    @pytest.mark.parametrize("status", [500, 502, 503, 520, 529, 407, 409, 302])
    def test_its_own_failure_says_nothing_of_its_body(self, kind: str, status: int):
        error = failed(kind, status, {"error": {"message": "Traceback in host db.internal"}})
        assert isinstance(error, FailedError)
        assert (error.status, error.code, error.transient) == (502, "upstream_error", True)
        assert "Traceback" not in error.message

    @pytest.mark.parametrize("status", [408, 504])
    def test_late(self, kind: str, status: int):
        assert isinstance(failed(kind, status), LateError)

    @pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"3", b'{"error":[]}', b"\xff", b"{"])
    def test_any_body_is_survived(self, kind: str, body: bytes):
        error = ADAPTERS[kind].error(400, {}, body)
        assert isinstance(error, RejectedError)
        assert error.message


def test_openai_without_credit_is_the_developers_trouble():
    body = {"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}
    assert isinstance(failed("openai", 429, body), AccountError)


def test_openrouter_is_not_asked_for_models_that_nobody_allowed():
    asked = {"model": "x", "messages": [], "models": ["dear"], "route": "fallback"}
    body = ADAPTERS["openrouter"].body(asked, model="cheap", stream=False, user="u")
    assert body == {"model": "cheap", "messages": [], "user": "u"}


def test_openrouters_moderation_is_about_the_prompt():
    body = {"error": {"code": 403, "message": "Flagged", "metadata": {"reasons": ["violence"]}}}
    error = failed("openrouter", 403, body)
    assert isinstance(error, RejectedError)
    assert error.status == 403


@pytest.mark.parametrize("kind", KINDS)
def test_credentials_are_header_lines(kind: str):
    lines = ADAPTERS[kind].auth(SECRET)
    assert lines.startswith(f"Authorization: Bearer {SECRET}\r\n".encode())
    assert lines.endswith(b"\r\n")
    assert SECRET in " ".join(ADAPTERS[kind].probe_headers(SECRET).values())
