"""The documentation is true: its snippets run against the product and print what it says."""

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from openai import OpenAI

from config.kit import ids
from dashboard.management.commands import seed_demo
from tests.fakes.stripe.keys import seeded
from tests.fakes.stripe.server import Running, running
from tests.support.commands import run
from tests.support.documents import Block, blocks, documents, is_output
from tests.support.product import Server
from tests.support.reader import KEY, Reader, statements
from tests.support.sources import ROOT

RUN = ("python", "sh")
SHOWN = ("js", "json", "output", "text")
"""Read by people only. `js` was tried by hand."""

OWN_NAMES = ("Acme", "Demo", "Storyteller", "kiosk", "storefront")
EMAILS = ("ada@example.com", "grace@example.com")
PAGES = [path for path in documents() if any(b.language in RUN for b in blocks(path.read_text()))]


@pytest.fixture(scope="module")
def stripe() -> Iterator[Running]:
    """Stripe's stand-in."""
    with running() as program:
        yield program


@pytest.fixture
def reader(
    product: Server, provider: Server, stripe: Running, books: None, tmp_path, monkeypatch, settings
) -> Iterator[Reader]:
    """A new one for each page, with a demo of their own."""
    settings.STRIPE_API_BASE = stripe.url
    monkeypatch.setenv("DEMO_STRIPE_KEY", seeded("rk", "live"))
    settings.BASE_URL = product.url
    settings.DEMO_PROVIDER_URL = provider.url
    mark = ids.uuid7().hex
    monkeypatch.setenv("PAYWALLS_STATE", str(tmp_path))
    monkeypatch.setattr(seed_demo, "NAME", f"Demo-{mark}")
    monkeypatch.setattr(seed_demo, "EMAIL", f"{mark}@example.test")
    told = json.loads(run("seed_demo"))
    names = {
        "http://localhost:8000": product.url,
        "http://127.0.0.1:11434": provider.url,
        "sk-proj-…": "sk-proj-0123456789abcdef",
        KEY: told["paywalls"][0]["key"],
        **{name: f"{name}-{mark}" for name in OWN_NAMES},
        **{email: f"{mark}-{email}" for email in EMAILS},
        "rk_live_…": seeded("rk", "live"),  # After the names, of which it contains one.
    }
    follower = Reader(names, monkeypatch)
    follower.shell(f"export KEY={KEY}")
    yield follower
    for made in follower.namespace.values():
        if isinstance(made, OpenAI):
            made.close()


@pytest.mark.parametrize("path", PAGES, ids=[path.stem for path in PAGES])
def test_a_page_does_what_it_says(path: Path, reader: Reader):
    found = list(blocks(path.read_text()))
    for block, after in pairwise([*found, Block("", "", 0)]):
        if block.language in RUN:
            follow = reader.python if block.language == "python" else reader.shell
            printed = follow(block.text)
            where = f"{path.relative_to(ROOT)}:{block.line}"
            if after.language == "output":
                assert is_output(after.text, printed), f"{where} printed\n{printed}"


def test_every_block_says_what_it_is():
    odd = [
        f"{path.relative_to(ROOT)}:{block.line} {block.language}"
        for path in documents()
        for block in blocks(path.read_text())
        if block.language not in (*RUN, *SHOWN)
    ]
    assert odd == []


@pytest.mark.parametrize(
    ("expected", "actual", "is_same"),
    [
        ('{"a": 1,\n "b": "…"}', '{"a":1,"b":"x y"}', True),
        ("a … c … e", "a b c d e", True),
        ("…", "anything", True),
        ("a…", "b", False),
        ("a … a", "a", False),
        ("a … x … c", "a b c", False),
        ("a", "a b", False),
    ],
)
def test_the_rule_for_output(expected: str, actual: str, is_same: bool):
    assert is_output(expected, actual) is is_same


def test_the_rule_for_shells():
    text = "export A=b\ncurl -i x \\\n  -d '{\n}'\n"
    assert list(statements(text)) == [["export", "A=b"], ["curl", "-i", "x", "-d", "{\n}"]]
