import base64
import hashlib
import importlib
import lzma
from importlib import resources
from typing import Any

import orjson
import pytest
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st

from providers import tokens

MODELS = ("gpt-4o", "gpt-4")


@pytest.mark.parametrize("name", ["cl100k_base", "o200k_base"])
def test_the_encodings_are_tiktokens(name: str, monkeypatch: pytest.MonkeyPatch):
    def ranks(url: str, expected_hash: str) -> dict[bytes, int]:
        packed = resources.files("providers").joinpath(f"data/{name}.tiktoken.xz").read_bytes()
        data = lzma.decompress(packed)
        assert hashlib.sha256(data).hexdigest() == expected_hash
        rows = (line.split() for line in data.splitlines())
        return {base64.b64decode(token): int(rank) for token, rank in rows}

    published = importlib.import_module("tiktoken_ext.openai_public")
    monkeypatch.setattr(published, "load_tiktoken_bpe", ranks)
    theirs = tiktoken.Encoding(**published.ENCODING_CONSTRUCTORS[name]())
    ours = tokens._encoding(name)
    assert ours._pat_str == theirs._pat_str
    tokens_theirs = sorted(theirs._mergeable_ranks.values())
    assert ours.decode_tokens_bytes(tokens_theirs) == theirs.decode_tokens_bytes(tokens_theirs)


def test_damaged_ranks_are_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(tokens._SHA256, "o200k_base", "0" * 64)
    with pytest.raises(RuntimeError, match="damaged"):
        tokens._encoding.__wrapped__("o200k_base")


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gpt-4", "cl100k_base"),
        ("gpt-4-0613", "cl100k_base"),
        ("gpt-4-turbo", "cl100k_base"),
        ("gpt-3.5-turbo", "cl100k_base"),
        ("openai/gpt-4", "cl100k_base"),
        ("gpt-4o", "o200k_base"),
        ("gpt-4.1", "o200k_base"),
        ("gpt-4o-mini", "o200k_base"),
        ("gpt-5", "o200k_base"),
        ("ft:gpt-4o:org", "o200k_base"),
        ("claude-opus", "o200k_base"),
        ("", "o200k_base"),
    ],
)
def test_which_encoding(model: str, name: str):
    assert tokens.encoding_name(model) == name
    if "gpt" in model:
        bare = model.removeprefix("openai/")
        assert tiktoken.encoding_name_for_model(bare) == name


def test_known_counts():
    assert tokens.count_tokens("", "gpt-4o") == 0
    assert tokens.count_tokens("hello world", "gpt-4o") == 2
    assert tokens.count_tokens("<|endoftext|>", "gpt-4o") > 1
    assert tokens.count_tokens("tiktoken is great!", "gpt-4") == 6


def test_a_long_word_is_counted_in_no_time():
    assert 0 < tokens.count_tokens("a" * 1_000_000, "gpt-4o") <= 1_000_000


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300), st.sampled_from(MODELS), st.integers(0, 50))
def test_a_clip_is_a_beginning_and_fits(text: str, model: str, limit: int):
    text = text.encode("utf-8", "ignore").decode()
    clipped = tokens.clip(text, limit, model)
    assert text.startswith(clipped)
    assert tokens.count_tokens(clipped, model) <= limit
    if tokens.count_tokens(text, model) <= limit:
        assert clipped == text


class TestCountPrompt:
    def count(self, *messages: Any, model: str = "gpt-4o", **more: Any) -> int:
        return tokens.count_prompt({"messages": list(messages), **more}, model)

    def test_what_the_cookbook_counts(self):
        """Its example, which the API confirmed: 129 tokens for gpt-4 (2025)."""
        pairs = [
            (
                "system",
                None,
                "You are a helpful, pattern-following assistant that translates "
                "corporate jargon into plain English.",
            ),
            ("system", "example_user", "New synergies will help drive top-line growth."),
            ("system", "example_assistant", "Things working well together will increase revenue."),
            (
                "system",
                "example_user",
                "Let's circle back when we have more bandwidth to touch "
                "base on opportunities for increased leverage.",
            ),
            (
                "system",
                "example_assistant",
                "Let's talk later when we're less busy about how to do better.",
            ),
            (
                "user",
                None,
                "This late pivot means we don't have time to boil the ocean for the "
                "client deliverable.",
            ),
        ]
        messages = [
            {"role": role, "content": text} | ({"name": name} if name else {})
            for role, name, text in pairs
        ]
        assert self.count(*messages, model="gpt-4") == 129

    def test_tools_and_schemas_count(self):
        plain = self.count({"role": "user", "content": "hi"})
        tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
        assert self.count({"role": "user", "content": "hi"}, tools=[tool]) > plain + 12
        schema = {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}}
        assert self.count({"role": "user", "content": "hi"}, response_format=schema) > plain

    def test_parts_count_as_their_text_and_images_by_detail(self):
        plain = self.count({"role": "user", "content": "hi"})
        image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 9_000}}
        low = {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}}
        text = {"type": "text", "text": "hi"}
        assert self.count({"role": "user", "content": [text]}) == plain
        assert self.count({"role": "user", "content": [text, image]}) == plain + 1_445
        assert self.count({"role": "user", "content": [text, low]}) == plain + 85

    @pytest.mark.parametrize(
        "message",
        [
            None,
            "text",
            3,
            {},
            {"content": None},
            {"content": 3},
            {"content": [None, 3, "x", {"type": "image_url", "image_url": None}]},
            {"content": [{"type": "text", "text": None}]},
            {"role": "assistant", "tool_calls": [{"function": {"arguments": "{}"}}]},
        ],
    )
    def test_any_message_is_survived(self, message: Any):
        assert self.count(message) >= 6


TEXTS = st.text(max_size=200).map(lambda text: text.encode("utf-8", "ignore").decode())


class TestPromptBound:
    @settings(max_examples=200, deadline=None)
    @given(st.lists(TEXTS, max_size=5), st.sampled_from(MODELS), st.booleans())
    def test_it_is_never_below_the_count(self, texts: list[str], model: str, with_tools: bool):
        request: dict[str, Any] = {
            "model": model,
            "messages": [{"role": "user", "content": text} for text in texts],
        }
        if with_tools:
            tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
            request["tools"] = [tool] * 3
        bound = tokens.prompt_bound(len(orjson.dumps(request)), model=model, tools=with_tools)
        assert bound >= tokens.count_prompt(request, model)

    def test_image_bytes_are_not_text(self):
        url = "data:image/png;base64," + "A" * 1_000_000
        part = {"type": "image_url", "image_url": {"url": url}}
        request = {"model": "gpt-4o", "messages": [{"role": "user", "content": [part]}]}
        found = tokens.media(request)
        assert (found.images, found.data_bytes) == (1, len(url))
        bound = tokens.prompt_bound(len(orjson.dumps(request)), found, model="gpt-4o")
        assert tokens.count_prompt(request, "gpt-4o") <= bound < 2_000

    def test_dear_images_and_files_have_room(self):
        found = tokens.Media(images=2, low_images=1, files=1)
        assert tokens.prompt_bound(0, found, model="gpt-4o-mini") > 48_169 + 2_833 + 20_000
