"""Small files, small functions."""

import ast
from collections.abc import Iterator

import pytest

from tests.support.sources import Source, python_sources

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60


def long_functions(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield f"{source.path}:{node.lineno} {node.name} has {lines} lines"


def is_too_long(source: Source) -> bool:
    return len(source.text.splitlines()) > FILE_LINES_MAX


def test_files_are_small():
    assert [str(source.path) for source in python_sources() if is_too_long(source)] == []


def test_functions_are_small():
    found = [line for source in python_sources() for line in long_functions(source)]
    assert found == []


@pytest.mark.parametrize(("lines", "is_refused"), [(59, False), (60, True)])
def test_the_rule_for_functions(lines: int, is_refused: bool):
    source = Source.of("def f():\n" + "    pass\n" * lines)
    assert bool(list(long_functions(source))) is is_refused


@pytest.mark.parametrize(("lines", "is_refused"), [(400, False), (401, True)])
def test_the_rule_for_files(lines: int, is_refused: bool):
    assert is_too_long(Source.of("pass\n" * lines)) is is_refused
