"""B9 to B16: what is wrong is refused by name, everything else passes."""

import pytest

from config.kit.errors import InvalidRequestError
from config.kit.limits import MESSAGES_MAX
from proxy import chat_body
from tests.support.chats import request


def refused(**fields):
    with pytest.raises(InvalidRequestError) as caught:
        chat_body.read(request() | fields)
    assert caught.value.status == 400
    return caught.value.param


class TestRead:
    def test_understands_a_plain_chat(self):
        chat = chat_body.read(request())
        assert (chat.model, chat.stream, chat.choices, chat.max_tokens) == ("model", False, 1, None)

    def test_passes_what_it_does_not_know(self):
        messages = [
            {"role": "developer", "content": "x"},
            {"role": "tool", "content": "42", "tool_call_id": "a"},
            {"role": "assistant", "content": None, "tool_calls": [{"id": "a"}]},
            {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "x"}}]},
        ]
        tools = [{"type": "function", "function": {"parameters": {"api_key": {"type": "string"}}}}]
        sent = request(messages=messages, tools=tools, seed=1, unheard_of={"x": [1]})
        assert chat_body.read(sent).model == "model"

    @pytest.mark.parametrize("model", [None, "", 7, ["gpt"], "x" * 10_000])
    def test_refuses_a_model_that_is_no_name(self, model):
        body = request() | {"model": model}
        with pytest.raises(InvalidRequestError) as caught:
            chat_body.read(body)
        assert caught.value.param == "model"

    @pytest.mark.parametrize("value", [0, -1, 1.5, 1.0, "100", 2**63, True, [], {}])
    @pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
    def test_refuses_an_output_limit_that_is_no_count(self, name, value):
        assert refused(**{name: value}) == name

    def test_takes_the_smaller_of_both_output_limits(self):
        assert chat_body.read(request(max_tokens=9, max_completion_tokens=5)).max_tokens == 5
        assert chat_body.read(request(max_tokens=None)).max_tokens is None

    @pytest.mark.parametrize("value", [0, -1, 129, 10**9, "2", True])
    @pytest.mark.parametrize("name", ["n", "best_of"])
    def test_refuses_a_number_of_choices_out_of_range(self, name, value):
        assert refused(**{name: value}) == name

    def test_drafts_count_even_when_they_are_not_shown(self):
        assert chat_body.read(request(n=2, best_of=5)).drafts == 5

    @pytest.mark.parametrize(
        ("messages", "param"),
        [
            (None, "messages"),
            ([], "messages"),
            ("hello", "messages"),
            ([{"role": "user", "content": "x"}] * (MESSAGES_MAX + 1), "messages"),
            (["hello"], "messages[0]"),
            ([{"content": "x"}], "messages[0]"),
            ([{"role": 7, "content": "x"}], "messages[0]"),
            ([{"role": "user", "content": 7}], "messages[0].content"),
            ([{"role": "user", "content": ["x"]}], "messages[0].content[0]"),
        ],
    )
    def test_refuses_messages_of_another_form(self, messages, param):
        assert refused(messages=messages) == param

    @pytest.mark.parametrize(
        "url", ["file:///etc/passwd", "gopher://x", "/etc/passwd", "ftp://x/y", 7, None]
    )
    @pytest.mark.parametrize("wrap", [lambda url: {"url": url}, lambda url: url])
    def test_refuses_images_that_are_no_web_addresses(self, wrap, url):
        part = {"type": "image_url", "image_url": wrap(url)}
        messages = [{"role": "user", "content": [part]}]
        assert refused(messages=messages) == "messages[0].content[0].image_url"

    @pytest.mark.parametrize("url", ["https://x/y.png", "HTTP://x", "data:image/png;base64,AA"])
    def test_passes_images_for_the_provider_to_fetch(self, url):
        part = {"type": "image_url", "image_url": {"url": url}}
        sent = request(messages=[{"role": "user", "content": [part]}])
        assert chat_body.read(sent).model == "model"

    @pytest.mark.parametrize("value", ["true", 1, {}])
    def test_refuses_a_flag_that_is_none(self, value):
        assert refused(stream=value) == "stream"
        options = {"include_usage": value}
        assert refused(stream=True, stream_options=options) == "stream_options.include_usage"

    def test_refuses_garbage_for_stream_options(self):
        assert refused(stream=True, stream_options="x") == "stream_options"

    @pytest.mark.parametrize("value", [5, "x", {}, True])
    def test_refuses_tools_that_are_no_list(self, value):
        assert refused(tools=value) == "tools"

    def test_asks_for_usage_only_in_streams(self):
        options = {"include_usage": True}
        assert chat_body.read(request(stream=True, stream_options=options)).include_usage
        assert not chat_body.read(request(stream_options=options)).include_usage

    @pytest.mark.parametrize("name", sorted(chat_body.DESTINATION_FIELDS))
    def test_refuses_destinations_at_any_depth(self, name):
        assert refused(**{name: "https://evil.example"}) == name
        assert refused(metadata={name: "x"}) == f"metadata.{name}"
        deep = {"a": [{"b": {name: None}}]}
        assert refused(extra_body=deep) == f"extra_body.a.b.{name}"

    def test_a_bottomless_carrier_is_refused_and_does_not_crash(self):
        deep: object = "x"
        for _ in range(5_000):
            deep = {"a": deep}
        assert refused(metadata=deep).startswith("metadata.a")

    @pytest.mark.parametrize("kind", ["json_object", "json_schema"])
    def test_notes_that_json_was_asked_for(self, kind):
        assert chat_body.read(request(response_format={"type": kind})).json_answer
        assert not chat_body.read(request(response_format={"type": "text"})).json_answer
