"""The page of promises names tests; each of them exists."""

import re

from config.dev.database import ROOT

NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def test_every_test_that_the_page_names_exists() -> None:
    named = NAMED.findall((ROOT / "templates/docs/promises.md").read_text())
    missing = [
        f"{path}::{name}"
        for path, name in named
        if not (ROOT / path).exists() or not re.search(rf"def {name}\b", (ROOT / path).read_text())
    ]
    assert len(named) > 20
    assert not missing, missing


def test_every_promise_names_one() -> None:
    page = (ROOT / "templates/docs/promises.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| ") and "---" not in line]
    heads = {"| promise | tests |", "| what happens | what it costs | tests |"}
    assert not [row for row in rows if row not in heads and not NAMED.search(row)]
