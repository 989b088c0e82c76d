"""Roles, databases and migrations, as the demo and the tests need them."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psycopg
from psycopg import sql

from config.dev.process import NotStartedError
from config.dev.servers import APP_ROLE, OWNER_ROLE

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("*/migrations/*.py", "*/sql/**/*.sql", "requirements.lock")


def schema_fingerprint() -> str:
    """Changes with any migration of ours, any SQL file, and any version of a dependency."""
    found = sorted(path for pattern in SOURCES for path in ROOT.glob(pattern))
    digest = hashlib.sha256()
    for path in found:
        digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def make_role(admin: psycopg.Connection, role: str, password: str) -> None:
    """Make the login role, or give it this password."""
    known = admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone()
    statement = sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}")
    if not known:
        statement = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
    admin.execute(statement.format(sql.Identifier(role), sql.Literal(password)))


def make_database(admin_url: str, database: str, *, password: str) -> None:
    """Both roles and the owner's database, unless they exist."""
    with psycopg.connect(admin_url, autocommit=True) as admin:
        make_role(admin, OWNER_ROLE, password)
        make_role(admin, APP_ROLE, password)
        known = admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone()
        if not known:
            statement = sql.SQL("CREATE DATABASE {} OWNER {}")
            admin.execute(statement.format(sql.Identifier(database), sql.Identifier(OWNER_ROLE)))


def is_migrated(owner_url: str) -> bool:
    """The database says itself which migrations it has: no Django, a few milliseconds."""
    with psycopg.connect(owner_url) as owner:
        row = owner.execute(
            "SELECT shobj_description(oid, 'pg_database')"
            " FROM pg_database WHERE datname = current_database()"
        ).fetchone()
    return row is not None and row[0] == _comment()


def migrate(owner_url: str, environment: Mapping[str, str], *, log: Path) -> None:
    """Run the migrations as the owner, then note in the database that they ran."""
    manage(["migrate", "--no-input"], environment, log=log)
    with psycopg.connect(owner_url, autocommit=True) as owner:
        name = sql.Identifier(owner.info.dbname)
        owner.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(name, sql.Literal(_comment())))


def _comment() -> str:
    return f"paywalls schema {schema_fingerprint()}"


def manage(arguments: list[str], environment: Mapping[str, str], *, log: Path) -> str:
    """What the management command printed on stdout; the rest goes to the log.

    Raises: NotStartedError with the end of the log.
    """
    with log.open("ab") as errors:
        done = subprocess.run(
            [sys.executable, ROOT / "manage.py", *arguments],
            env={**os.environ, **environment},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=errors,
            check=False,
        )
        errors.write(done.stdout)
    if done.returncode:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise NotStartedError(f"manage.py {arguments[0]} failed. The end of {log}:\n{tail}")
    return done.stdout.decode()
