"""Leads this worker to its own database before Django reads its settings.

A pytest plugin that is loaded first: the product then reads DATABASE_URL as it always does.
"""

import os
from urllib.parse import urlsplit, urlunsplit

import pytest

ADDRESSES = ("DATABASE_URL", "DATABASE_OWNER_URL")
VALKEY_DATABASES = 16


def worker_number() -> int:
    """0 without xdist, else 1 and up."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    return int(worker.removeprefix("gw")) + 1 if worker else 0


def database_name() -> str:
    return f"{os.environ['TEST_RUN']}_{worker_number()}"


def _lead() -> None:
    if "TEST_RUN" not in os.environ:
        raise pytest.UsageError("the tests need their servers: ./run test [arguments of pytest]")
    for name in ADDRESSES:
        os.environ[name] = _with_path(os.environ[name], database_name())
    number = worker_number() % VALKEY_DATABASES
    os.environ["REDIS_URL"] = _with_path(os.environ["REDIS_URL"], str(number))


def _with_path(url: str, path: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{path}"))


_lead()
