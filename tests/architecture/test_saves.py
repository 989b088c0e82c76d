"""A row that exists is saved field by field, so that two writers do not undo each other."""

import ast
from collections.abc import Iterator

import pytest

from tests.support.sources import APPS, Source, python_sources

SAVES = ("save", "asave")
CREATES = frozenset({"force_insert", "update_fields"})


def whole_row_saves(source: Source) -> Iterator[str]:
    """Calls of `.save()` that name neither `update_fields` nor `force_insert`.

    `super().save(…)` passes on what it was given, and a form's `save()` belongs to the form.
    """
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        named = {keyword.arg for keyword in node.keywords}
        if node.func.attr in SAVES and not named & CREATES and not _is_excused(node.func.value):
            yield f"{source.path}:{node.lineno}"


def _is_excused(target: ast.expr) -> bool:
    of_super = isinstance(target, ast.Call) and ast.unparse(target.func) == "super"
    return of_super or ast.unparse(target).endswith(("form", "formset"))


def test_saves_name_their_fields():
    found = [line for source in python_sources(*APPS) for line in whole_row_saves(source)]
    assert found == []


@pytest.mark.parametrize(
    ("line", "is_refused"),
    [
        ("key.save()", True),
        ("await key.asave()", True),
        ("self.save(using='x')", True),
        ("key.save(update_fields=['revoked_at'])", False),
        ("key.save(force_insert=True)", False),
        ("super().save(*args, **kwargs)", False),
        ("form.save()", False),
    ],
)
def test_the_rule(line: str, is_refused: bool):
    source = Source.of(f"async def f():\n    {line}\n")
    assert bool(list(whole_row_saves(source))) is is_refused
