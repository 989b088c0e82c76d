"""Counting tokens: exactly with tiktoken's own ranks, or bounded from bytes for a hold.

The ranks are package data (`providers/data`), checked against the hashes that tiktoken publishes;
nothing is ever downloaded. Texts of other vendors' models are counted with the newest of them.
"""

import base64
import hashlib
import lzma
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from typing import Any, Final

import orjson
import tiktoken

SLICE_CHARS: Final = 8_192
"""A text is counted in slices: one word of a million letters would take minutes."""

LONGEST_TOKEN_CHARS: Final = 128
"""No token of the two encodings is longer."""

MESSAGE_TOKENS: Final = 3
REPLY_TOKENS: Final = 3
NAME_TOKENS: Final = 1
TOOL_TOKENS: Final = 12
TOOLS_TOKENS_MOST: Final = 1_024
"""What providers add to a prompt by themselves when it has tools (Anthropic: up to 700)."""
OVERHEAD_TOKENS: Final = 64
"""What providers add to any prompt."""
FILE_TOKENS: Final = 20_000
"""A file part beside its bytes: pages of a PDF are shown to the model as images."""

IMAGE_TOKENS: Final = {"low": 85, "high": 1_445}
"""OpenAI: 85, and 170 for each of at most eight tiles.
Source: https://platform.openai.com/docs/guides/images-vision (November 2026)."""
MINI_IMAGE_TOKENS: Final = {"low": 2_833, "high": 48_169}
"""gpt-4o-mini charges an image as much as gpt-4o does in dollars: the same tiles, dearer."""
OTHER_IMAGE_TOKENS: Final = {"low": 5_000, "high": 5_000}
"""Others, patch-based models among them, know no `detail`; the dearest take up to 4,784."""

_CL100K: Final = ("gpt-4-", "gpt-4:", "gpt-3.5", "gpt-35", "ft:gpt-4:", "ft:gpt-4-", "ft:gpt-3.5")
_PATTERNS: Final = {
    "cl100k_base": (
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+|"
        r" ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
    ),
    "o200k_base": "|".join(
        (
            r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
            r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
            r"\p{N}{1,3}",
            r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
            r"\s*[\r\n]+",
            r"\s+(?!\S)",
            r"\s+",
        )
    ),
}
_SHA256: Final = {
    "cl100k_base": "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    "o200k_base": "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
}
"""Source: tiktoken_ext/openai_public.py of tiktoken 0.14, as the patterns."""


@dataclass(frozen=True, slots=True)
class Media:
    """What a prompt has besides text. data_bytes: images inside the body, as base64."""

    images: int = 0
    low_images: int = 0
    data_bytes: int = 0
    files: int = 0


NO_MEDIA: Final = Media()
COMMON: Final = "o200k_base"
QUICK_BYTES: Final = 32_768
_loaded: set[str] = set()


def warm(name: str = COMMON) -> None:
    """Load the ranks of an encoding now: half a second and 40 MB. Older models' come when asked."""
    _encoding(name)


def is_quick(model: str, size: int) -> bool:
    """Whether counting `size` bytes for a model takes a millisecond: else do it in a thread."""
    return size <= QUICK_BYTES and encoding_name(model) in _loaded


def count_tokens(text: str, model: str) -> int:
    """Tokens of a text. Run it in a thread when the text is long (10 MB take seconds)."""
    encoding = _encoding(encoding_name(model))
    if len(text) <= SLICE_CHARS:
        return len(encoding.encode_ordinary(text))
    return sum(
        len(encoding.encode_ordinary(text[start : start + SLICE_CHARS]))
        for start in range(0, len(text), SLICE_CHARS)
    )


def clip(text: str, tokens: int, model: str) -> str:
    """The longest beginning of a text that has at most so many tokens."""
    encoding = _encoding(encoding_name(model))
    kept = encoding.encode_ordinary(text[: tokens * LONGEST_TOKEN_CHARS])[:tokens]
    return encoding.decode_bytes(kept).decode(errors="ignore")


def count_prompt(request: Mapping[str, Any], model: str) -> int:
    """Tokens of a chat request: messages with what frames them, tools, schema, images.

    Source: https://cookbook.openai.com/examples/how_to_count_tokens_with_tiktoken (2025).
    """
    total = REPLY_TOKENS
    for message in request.get("messages") or ():
        total += MESSAGE_TOKENS
        fields = message if isinstance(message, dict) else {"content": message}
        total += sum(_count_value(value, model) for value in fields.values())
        total += NAME_TOKENS if "name" in fields else 0
    for tool in request.get("tools") or ():
        total += TOOL_TOKENS + count_tokens(_json(tool), model)
    if request.get("response_format"):
        total += count_tokens(_json(request["response_format"]), model)
    found = media(request)
    return total + _image_tokens(found, model) + found.files * FILE_TOKENS


def media(request: Mapping[str, Any]) -> Media:
    """Count the images and files of a chat request. Remote ones are never fetched."""
    images = low = data_bytes = files = 0
    for message in request.get("messages") or ():
        content = message.get("content") if isinstance(message, dict) else None
        for part in content if isinstance(content, list) else ():
            kind = part.get("type") if isinstance(part, dict) else None
            if kind == "image_url":
                image = part.get("image_url")
                image = image if isinstance(image, dict) else {"url": image}
                images += 1
                low += image.get("detail") == "low"
                url = image.get("url")
                if isinstance(url, str) and url.startswith("data:"):
                    data_bytes += len(url)
            elif kind == "file":
                files += 1
    return Media(images, low, data_bytes, files) if images or files else NO_MEDIA


def prompt_bound(
    body_bytes: int, found: Media = NO_MEDIA, *, model: str, tools: bool = False
) -> int:
    """At least as many tokens as the prompt can have, from its size alone.

    A token is at least one byte of UTF-8, JSON never writes a character in fewer bytes, and the
    JSON around a message is longer than the tokens that frame it.
    """
    text_bytes = max(0, body_bytes - found.data_bytes)
    return (
        text_bytes
        + OVERHEAD_TOKENS
        + (TOOLS_TOKENS_MOST if tools else 0)
        + _image_tokens(found, model)
        + found.files * FILE_TOKENS
    )


@lru_cache(maxsize=1024)
def encoding_name(model: str) -> str:
    """Which ranks count a model's tokens. A vendor's prefix is not part of the name.

    >>> encoding_name("gpt-4-0613"), encoding_name("openai/gpt-4o"), encoding_name("llama-3")
    ('cl100k_base', 'o200k_base', 'o200k_base')
    """
    name = model.rpartition("/")[2]
    return "cl100k_base" if f"{name}-".startswith(_CL100K) else "o200k_base"


def _count_value(value: object, model: str) -> int:
    if isinstance(value, str):
        return count_tokens(value, model)
    if isinstance(value, list):
        return sum(_count_part(part, model) for part in value)
    return count_tokens(_json(value), model) if value is not None else 0


def _count_part(part: object, model: str) -> int:
    if not isinstance(part, dict):
        return _count_value(part, model)
    if part.get("type") in ("image_url", "file"):
        return 0  # counted by `media`
    text = part.get("text")
    return count_tokens(text if isinstance(text, str) else _json(part), model)


def _image_tokens(found: Media, model: str) -> int:
    name = model.rpartition("/")[2]
    if name.startswith("gpt-4o-mini"):
        cost = MINI_IMAGE_TOKENS
    elif name.startswith(("gpt-4o", "gpt-4-", "gpt-4.5", "chatgpt-4o", "o1")):
        cost = IMAGE_TOKENS
    else:
        cost = OTHER_IMAGE_TOKENS
    return found.low_images * cost["low"] + (found.images - found.low_images) * cost["high"]


def _json(value: object) -> str:
    return orjson.dumps(value).decode()


@cache
def _encoding(name: str) -> tiktoken.Encoding:
    packed = resources.files("providers").joinpath("data", f"{name}.tiktoken.xz").read_bytes()
    ranks = lzma.decompress(packed)
    if hashlib.sha256(ranks).hexdigest() != _SHA256[name]:
        raise RuntimeError(f"providers/data/{name}.tiktoken.xz is damaged; install again.")
    encoding = tiktoken.Encoding(
        name,
        pat_str=_PATTERNS[name],
        mergeable_ranks={
            base64.b64decode(token): int(rank)
            for token, rank in (line.split() for line in ranks.splitlines())
        },
        special_tokens={},
    )
    encoding._mergeable_ranks = {}  # noqa: SLF001 - 30 MB that only building another one needs
    _loaded.add(name)
    return encoding
