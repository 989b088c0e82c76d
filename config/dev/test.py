"""`./run test …`: real servers for the tests, then pytest.

A cluster with the migrated template database is made once per state of the migrations and kept in
`.cache`; each run starts its own copy of it, so runs never meet. TEST_DATABASE_URL names a
superuser of a server to use instead; POSTGRES_BIN another PostgreSQL's programs.
"""

import base64
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from psycopg import sql

from config.dev import database, servers
from config.dev.process import INTERRUPTED, Child, NotStartedError, end_on_signals, stop_all
from config.dev.state import in_one_line

CACHE = database.ROOT / ".cache" / "test-postgres"
CACHE_KEPT_S = 3600
PROCESSES_MAX = 8
ALONE = re.compile(r"-n.*|--numprocesses.*|--pdb|--trace|-s|--capture=no|no:xdist|.*\.py\b.*")
"""Arguments of pytest that say how many processes there are, or want to be watched."""

TEST_KEY = base64.b64encode(bytes(range(32))).decode()
TEST_SECRETS = {
    "SECRET_KEY": "only-for-tests-" + "0123456789abcdef" * 4,
    "ENCRYPTION_KEYS": TEST_KEY,
    "KEY_PEPPERS": f"1:{TEST_KEY}",
    "EGRESS_ALLOW": "127.0.0.0/8,::1,localhost",
}


def main(arguments: list[str]) -> int:
    end_on_signals()
    folder = Path(tempfile.mkdtemp(prefix="paywalls-test-"))
    children: list[Child] = []
    try:
        return run(arguments, folder, children)
    except NotStartedError as error:
        print(f"./run test: {error}", file=sys.stderr)
    except OSError as error:
        print(f"./run test: {in_one_line(error)}", file=sys.stderr)
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        stop_all(children, timeout_s=10)
        shutil.rmtree(folder, ignore_errors=True)
    return 1


def run(arguments: list[str], folder: Path, children: list[Child]) -> int:
    """Servers, template, pytest; `children` is filled for the caller to stop."""
    began = time.monotonic()
    admin_url = start_database(folder, children)
    variables = environment(admin_url, start_valkey(folder, children))
    print(f"Servers are up after {time.monotonic() - began:.1f} s.", flush=True)
    command = [sys.executable, "-m", "pytest", *in_parallel(arguments), *arguments]
    return subprocess.run(
        command, env={**os.environ, **variables}, cwd=database.ROOT, check=False
    ).returncode


def environment(admin_url: str, redis_url: str) -> dict[str, str]:
    """What pytest must know of the servers."""
    return TEST_SECRETS | {
        "TEST_ADMIN_URL": admin_url,
        "TEST_TEMPLATE": template_name(),
        "TEST_RUN": f"paywalls_test_{os.getpid()}",
        "DATABASE_URL": role_url(admin_url, servers.APP_ROLE),
        "DATABASE_OWNER_URL": role_url(admin_url, servers.OWNER_ROLE),
        "REDIS_URL": redis_url,
    }


def in_parallel(arguments: list[str]) -> list[str]:
    """One process per core, unless one file is asked for or someone wants to watch."""
    if any(ALONE.fullmatch(argument) for argument in arguments):
        return []
    return ["--numprocesses=auto", f"--maxprocesses={PROCESSES_MAX}", "--dist=worksteal"]


def start_database(folder: Path, children: list[Child]) -> str:
    """A server with the template in it, ours or the one that is named; its superuser's address."""
    admin_url = os.environ.get("TEST_DATABASE_URL")
    if admin_url is None:
        return start_postgres(folder, children)
    make_template(admin_url, folder / "migrate.log")
    return admin_url


def start_postgres(folder: Path, children: list[Child]) -> str:
    """Start a copy of the cached cluster, and name its superuser's address."""
    shutil.copytree(cached_cluster(), folder / "postgres")
    (folder / "postgres" / "data").chmod(0o700)
    return _start_cluster(folder / "postgres", children)


def _start_cluster(cluster: Path, children: list[Child]) -> str:
    cluster.parent.chmod(0o711)  # PostgreSQL may have to run as another user.
    postgres = servers.start_postgres(
        cluster, port=servers.free_port(), log=cluster.parent / "postgres.log", durable=False
    )
    children.append(postgres.child)
    servers.wait_for_postgres(postgres)
    return postgres.url(servers.SUPERUSER, "postgres")


def cached_cluster() -> Path:
    """The folder of a cluster with the migrated template; made if there is none yet."""
    cached = CACHE / f"{servers.postgres_binaries().parent.name}-{template_name()}"
    if not cached.exists():
        make_cached(cached)
    return cached


def make_cached(cached: Path) -> None:
    """Make a cluster, migrate the template in it, stop it, and only then give it its name."""
    print("Migrating the template database …", flush=True)
    CACHE.mkdir(parents=True, exist_ok=True)
    forget_old()
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=CACHE))
    children: list[Child] = []
    try:
        cluster = draft / "postgres"
        cluster.mkdir(mode=0o700)
        make_template(_start_cluster(cluster, children), draft / "migrate.log")
        stop_all(children, timeout_s=30)
        if not cached.exists():
            cluster.rename(cached)
    finally:
        stop_all(children, timeout_s=10)
        shutil.rmtree(draft, ignore_errors=True)


def forget_old() -> None:
    for path in CACHE.iterdir():
        if time.time() - path.stat().st_mtime > CACHE_KEPT_S:
            shutil.rmtree(path, ignore_errors=True)


def make_template(admin_url: str, log: Path) -> None:
    """The migrated database that every worker's is a copy of."""
    name, password = template_name(), role_password(admin_url)
    database.make_database(admin_url, name, password=password)
    owner_url = role_url(admin_url, servers.OWNER_ROLE, name)
    if database.is_migrated(owner_url):
        return
    # Another try may have been cut: begin with an empty one.
    with psycopg.connect(admin_url, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
    database.make_database(admin_url, name, password=password)
    database.migrate(
        owner_url,
        TEST_SECRETS | {"DATABASE_URL": owner_url, "DATABASE_OWNER_URL": owner_url},
        log=log,
    )


def template_name() -> str:
    return f"paywalls_template_{database.schema_fingerprint()}"


def role_password(admin_url: str) -> str:
    """Known to every run on a server, and to nobody who lacks the administrator's password."""
    return hashlib.sha256(f"paywalls {urlsplit(admin_url).password}".encode()).hexdigest()


def role_url(admin_url: str, role: str, name: str = "") -> str:
    parts = urlsplit(admin_url)
    place = parts.netloc.rpartition("@")[2]
    netloc = f"{quote(role)}:{role_password(admin_url)}@{place}"
    return urlunsplit(parts._replace(netloc=netloc, path=f"/{name}"))


def start_valkey(folder: Path, children: list[Child]) -> str:
    (folder / "valkey").mkdir(mode=0o700)
    port = servers.free_port()
    child, url = servers.start_valkey(folder / "valkey", port=port, log=folder / "valkey.log")
    children.append(child)
    servers.wait_for_port(child, port)
    return url


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
