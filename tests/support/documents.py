"""The project's own words: its Markdown files, and what stands in them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from dashboard.views.docs import slug
from tests.support.sources import ROOT

DOCS = ROOT / "templates" / "docs"
ANYTHING = "…"
"""What differs from run to run, in the output that a page shows."""

_BLANKS = re.compile(r"\s+")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its lines, and where they begin."""

    language: str
    text: str
    line: int


def documents() -> list[Path]:
    return [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]


def blocks(text: str) -> Iterator[Block]:
    for token in _tokens(text):
        if token.type == "fence":
            assert token.map
            yield Block(token.info.strip(), token.content, token.map[0] + 2)


def links(text: str) -> Iterator[str]:
    for child in _inner(text):
        if child.type == "link_open":
            yield str(child.attrGet("href"))


def anchors(text: str) -> set[str]:
    """The addresses of all headings within their page."""
    return {
        slug("".join(child.content for child in after.children or ()))
        for token, after in pairwise(_tokens(text))
        if token.type == "heading_open"
    }


def code(text: str) -> Iterator[str]:
    """What stands between backticks within sentences."""
    for child in _inner(text):
        if child.type == "code_inline":
            yield child.content


def rows(text: str) -> list[list[str]]:
    """The cells of all tables, without headings and markup of code."""
    lines = re.findall(r"^\| (.*) \|$", text, re.MULTILINE)
    cells = [[cell.strip().strip("`") for cell in line.split("|")] for line in lines]
    return [row for row in cells if set("".join(row)) - {"-"}]


def is_output(expected: str, actual: str) -> bool:
    """Whether this was printed, going by what a page says. How it is broken into lines is free."""
    head, *parts = [_BLANKS.sub("", part) for part in expected.split(ANYTHING)]
    printed = _BLANKS.sub("", actual)
    if not parts:
        return printed == head
    tail = parts.pop()
    if not printed.startswith(head):
        return False
    place = len(head)
    for part in parts:
        found = printed.find(part, place)
        if found < 0:
            return False
        place = found + len(part)
    return len(printed) - len(tail) >= place and printed.endswith(tail)


def _tokens(text: str) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(text)


def _inner(text: str) -> Iterator[Token]:
    for token in _tokens(text):
        yield from token.children or ()
