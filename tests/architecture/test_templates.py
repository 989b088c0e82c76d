"""An included template sees what it is given and nothing else."""

import re
from collections.abc import Iterator

import pytest

from tests.support.sources import Source, templates

INCLUDE = re.compile(r"{%-?\s*include\s+(?P<rest>.*?)%}", re.DOTALL)


def open_includes(source: Source) -> Iterator[str]:
    for match in INCLUDE.finditer(source.text):
        if match["rest"].split()[-1] != "only":
            line = source.text.count("\n", 0, match.start()) + 1
            yield f"{source.path}:{line}"


def test_includes_are_closed():
    assert [line for source in templates() for line in open_includes(source)] == []


@pytest.mark.parametrize(
    ("text", "is_refused"),
    [
        ("{% include 'a.html' %}", True),
        ("{% include 'a.html' with only=1 %}", True),
        ("{% include 'a.html' with x=1 only %}", False),
        ("{% include 'a.html' only %}", False),
    ],
)
def test_the_rule(text: str, is_refused: bool):
    assert bool(list(open_includes(Source.of(text)))) is is_refused
