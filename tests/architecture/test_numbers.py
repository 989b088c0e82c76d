"""Every number that must be proved has a test that says so."""

import ast
from collections.abc import Iterable, Iterator

from tests.support.numbers import LATER, NUMBER, PENDING, TITLES, in_order
from tests.support.sources import Source, python_sources


def proved(source: Source) -> Iterator[str]:
    """What `pytest.mark.proves(…)` names anywhere in a file; only literals count."""
    for node in ast.walk(source.tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "proves"
        ):
            for argument in node.args:
                literal = isinstance(argument, ast.Constant) and isinstance(argument.value, str)
                yield argument.value if literal else f"{source.path}:{node.lineno} is no literal"  # type: ignore[attr-defined]


def differences(
    numbers: set[str], pending: frozenset[str] = PENDING, later: Iterable[str] = LATER
) -> dict[str, list[str]]:
    """Numbers without a test, numbers that are pending or for later although they have one."""
    found = {
        "not proved": {*TITLES} - {*later} - pending - numbers,
        "no longer pending": pending & numbers,
        "no longer for later": {*later} & numbers,
        "for later and pending": {*later} & pending,
        "not a number": {number for number in numbers if not NUMBER.fullmatch(number)},
    }
    return {what: _sorted(which) for what, which in found.items() if which}


def _sorted(numbers: Iterable[str]) -> list[str]:
    return sorted(numbers, key=lambda n: in_order(n) if NUMBER.fullmatch(n) else (99, 0))


def test_what_must_be_proved_is():
    numbers = {number for source in python_sources("tests") for number in proved(source)}
    assert differences(numbers) == {}


MARKED = """
@pytest.mark.proves("F1", "C4")
class TestIt: ...
CASE = pytest.param(1, marks=pytest.mark.proves("B30"))
"""


def test_the_rule():
    assert set(proved(Source.of(MARKED))) == {"F1", "C4", "B30"}
    assert list(proved(Source.of("proves(name)\nmark.proves(name)"))) == [
        "example.py:2 is no literal"
    ]
    every = {*TITLES} - {"C8"}
    assert differences(every, frozenset(), ["C8"]) == {}
    assert differences(every - {"F9", "F10"}, frozenset({"F10"}), ["C8"]) == {"not proved": ["F9"]}
    assert differences(every, frozenset({"F9"}), ["C8"]) == {"no longer pending": ["F9"]}
    assert differences({*every, "C8", "X"}, frozenset(), ["C8"]) == {
        "no longer for later": ["C8"],
        "not a number": ["X"],
    }
