"""The project's own files, for the tests that read code."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
APPS = ("config", "paywalls", "ledger", "billing", "providers", "proxy", "dashboard")


@dataclass(frozen=True)
class Source:
    """A file and what stands in it."""

    path: Path
    text: str

    @classmethod
    def of(cls, text: str, path: str = "example.py") -> "Source":
        return cls(Path(path), text)

    @classmethod
    def read(cls, path: Path) -> "Source":
        return cls(path.relative_to(ROOT), path.read_text())

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)


def python_sources(*folders: str) -> Iterator[Source]:
    """All Python files, tests included; migrations are generated and left out."""
    for folder in folders or (*APPS, "tests"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "migrations" not in path.parts:
                yield Source.read(path)


def templates() -> Iterator[Source]:
    for path in sorted((ROOT / "templates").rglob("*.html")):
        yield Source.read(path)
