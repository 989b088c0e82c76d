"""What a guard is, and how it is taken out of a copy of the product.

Texts that are replaced must be there as often as said, so that a guard cannot move without its
entry here; `test_guards.py` sees to that.
"""

import ast
from dataclasses import dataclass
from pathlib import Path

import psycopg


class LostGuardError(Exception):
    """A guard is not where its entry says."""


@dataclass(frozen=True, kw_only=True)
class Guard:
    """protects: what would happen without it. tests: those that must turn red, quick ones first.

    dear: taken out by `--quick`, too.
    """

    name: str
    protects: str
    tests: tuple[str, ...]
    dear: bool = False

    def from_files(self, root: Path) -> "Change | None":
        """The file without the guard, if it stands in one."""
        del root
        return None

    def from_database(self, admin: psycopg.Connection) -> None:
        """Takes the guard out of a database, if it stands in one."""


@dataclass(frozen=True)
class Change:
    """A file, and what shall stand in it."""

    path: Path
    text: str


@dataclass(frozen=True, kw_only=True)
class InFile(Guard):
    """A guard in a Python file below the root: `old` is replaced by `new`, so many times."""

    file: str
    old: str
    new: str
    times: int = 1

    def from_files(self, root: Path) -> Change:
        """Raises: LostGuardError."""
        path = root / self.file
        text = _replaced(path.read_text(), self.old, self.new, times=self.times)
        ast.parse(text)
        return Change(path, text)


@dataclass(frozen=True, kw_only=True)
class InFunction(Guard):
    """A guard in the one SQL function with this name, or one that begins so, that has it."""

    function: str
    old: str
    new: str

    def from_database(self, admin: psycopg.Connection) -> None:
        """Raises: LostGuardError."""
        rows = admin.execute(
            "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE starts_with(proname, %s)",
            [self.function],
        ).fetchall()
        guarded = [text for (text,) in rows if self.old in text]
        if len(guarded) != 1:
            raise LostGuardError(f"{len(guarded)} functions {self.function}… have this: {self.old}")
        text = _replaced(guarded[0], self.old, self.new)
        admin.execute(text.encode())


@dataclass(frozen=True, kw_only=True)
class InSchema(Guard):
    """A trigger, constraint or right; the statement fails when it is not there."""

    statement: str

    def from_database(self, admin: psycopg.Connection) -> None:
        """Raises: LostGuardError."""
        try:
            admin.execute(self.statement.encode())
        except psycopg.errors.UndefinedObject as error:
            raise LostGuardError(str(error)) from error


def _replaced(text: str, old: str, new: str, *, times: int = 1) -> str:
    if (count := text.count(old)) != times:
        raise LostGuardError(f"this is there {count} times, not {times}: {old}")
    return text.replace(old, new)
