"""The documentation: `templates/docs/*.md` as pages."""

import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Final

import nh3
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe
from django.views.decorators.http import require_safe
from markdown_it import MarkdownIt
from markdown_it.token import Token

HOME: Final = "index"
ORDER: Final = (
    HOME,
    "quickstart",
    "concepts",
    "chat",
    "money",
    "payments",
    "shared-mode",
    "earnings",
    "webhooks",
    "errors",
    "providers",
    "demo-models",
    "commands",
    "operations",
    "promises",
    "performance",
    "growth",
    "limits",
    "glossary",
    "decisions",
)
"""The pages as the navigation lists them; decisions stand on a page of their own."""

ATTRIBUTES: Final = {
    "a": {"href"},
    "code": {"class"},
    "div": {"class", "role", "tabindex", "aria-label"},
    **{f"h{level}": {"id"} for level in range(2, 5)},
}
HEADING_TOKENS: Final = 3
"""Opening, text and end of the first heading, which the template shows."""

SECTIONS_LEAST: Final = 3
"""Shorter pages need no list of what stands on them."""

# Wide tables scroll, and what scrolls must be reached by keyboard too.
_TABLE_OPEN: Final = '<div class="table" role="group" tabindex="0" aria-label="Table"><table>'
_PAGE_LINK: Final = re.compile(r"(?P<name>[\w./-]+)\.md(?P<anchor>#[\w-]+)?")
_NOT_IN_SLUGS: Final = re.compile(r"[^\w\- ]")


@dataclass(frozen=True, slots=True)
class Page:
    """A page, ready to be shown: its heading, anchors and titles of its sections, the rest."""

    title: str
    anchor: str
    sections: tuple[tuple[str, str], ...]
    html: SafeString


@require_safe
def show(request: HttpRequest, name: str = HOME) -> HttpResponse:
    """One page with the navigation beside it.

    Raises: Http404.
    """
    page = load(name)
    if page is None:
        raise Http404
    found = [(each, load(each)) for each in ORDER]
    links = [(url_of(each), linked.title) for each, linked in found if linked]
    current = url_of(name if name in ORDER else "decisions")
    context = {"page": page, "links": links, "current": current}
    return render(request, "docs/page.html", context)


@require_safe
def show_decision(request: HttpRequest, name: str) -> HttpResponse:
    """One decision.

    Raises: Http404.
    """
    return show(request, f"decisions/{name}")


def url_of(name: str) -> str:
    """The address of a page by its file's name, such as `errors` or `decisions/0001-…`."""
    folder, _, last = name.rpartition("/")
    if name == HOME:
        return reverse("dashboard:docs")
    return reverse("dashboard:docs-decision" if folder else "dashboard:docs-page", args=[last])


@cache
def load(name: str) -> Page | None:
    """The page of this name, or None. Read once a process: pages change with a release."""
    path = Path(settings.BASE_DIR, "templates", "docs", f"{name}.md")
    if not path.is_file():
        return None
    markdown = _reader()
    tokens = markdown.parse(path.read_text())
    (first, title), *headings = _headings(tokens)
    assert tokens[0] is first, path
    for heading, text in headings:
        heading.attrSet("id", slug(text))
    for token in tokens:
        for child in token.children or ():
            if child.type == "link_open":
                child.attrSet("href", _href(str(child.attrGet("href")), name))
    sections = tuple((slug(text), text) for heading, text in headings if heading.tag == "h2")
    html = markdown.renderer.render(tokens[HEADING_TOKENS:], markdown.options, {})
    return Page(
        title,
        slug(title),
        sections if len(sections) >= SECTIONS_LEAST else (),
        mark_safe(nh3.clean(html, attributes=ATTRIBUTES, link_rel=None)),  # noqa: S308 - just cleaned.
    )


def slug(title: str) -> str:
    """The anchor of a heading, the same as on GitHub.

    >>> slug("What a crash can cost: `kill -9`")
    'what-a-crash-can-cost-kill--9'
    """
    return _NOT_IN_SLUGS.sub("", title.lower()).replace(" ", "-")


def _reader() -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    markdown.add_render_rule("table_open", lambda *_: _TABLE_OPEN)
    markdown.add_render_rule("table_close", lambda *_: "</table></div>")
    return markdown


def _headings(tokens: Sequence[Token]) -> Iterator[tuple[Token, str]]:
    """Every heading with its text."""
    for token, inline in pairwise(tokens):
        if token.type == "heading_open":
            yield token, "".join(child.content for child in inline.children or ())


def _href(target: str, name: str) -> str:
    """Links between the files are relative, so that they work in any viewer of Markdown."""
    match = _PAGE_LINK.fullmatch(target)
    if match is None:
        return target
    linked = posixpath.normpath(posixpath.join(posixpath.dirname(name), match["name"]))
    return url_of(linked) + (match["anchor"] or "")
