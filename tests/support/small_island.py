"""An island whose data lie on a disk of a few megabytes: a tmpfs that only its PostgreSQL sees."""

import ctypes
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.errors import DiskFull

from config.dev import servers, test
from config.dev.process import Child
from tests.support.island import Island

DISK = b"size=160m"
LIBC = ctypes.CDLL(None, use_errno=True)
PAGES = "INSERT INTO filler SELECT repeat('x', 8000) FROM generate_series(1, %s)"
FILL = (1_000, 20, 1)
"""Pages that are written at a time, the last ones singly."""


@dataclass
class SmallIsland(Island):
    """The log of writes lies elsewhere, as it should: without it nothing could even be undone."""

    def make(self) -> None:
        small, port = self.folder / "small", servers.free_port()
        small.mkdir()
        cached = shutil.copytree(test.cached_cluster(), self.folder / "postgres")
        shutil.move(cached / "data" / "pg_wal", self.folder / "wal")
        (cached / "data" / "pg_wal").symlink_to(self.folder / "wal")
        options = ["-c", f"port={port}", "-c", f"listen_addresses={servers.HOST}"]
        options += ["-c", "unix_socket_directories=", "-c", "fsync=off"]
        child = Child(
            name="PostgreSQL",
            command=[servers.postgres_binaries() / "postgres", "-D", small, *options],
            log=self.folder / "postgres.log",
            as_other=lambda: _on_a_small_disk(cached / "data", small),
        ).start()
        self.children[:] = [child]
        password = (cached / "password").read_text()
        postgres = servers.Postgres(child=child, version="", port=port, password=password)
        self.admin_url = postgres.url(servers.SUPERUSER, "postgres")
        servers.wait_for_postgres(postgres)

    @contextmanager
    def full(self) -> Iterator[None]:
        """Not a page is left."""
        url = self.admin_url.rsplit("/", 1)[0] + f"/{test.template_name()}"
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute("CREATE UNLOGGED TABLE filler (page text STORAGE PLAIN)")
            for pages in FILL:
                with suppress(DiskFull):
                    while True:
                        admin.execute(PAGES, [pages])
            yield
            admin.execute("DROP TABLE filler")


def _on_a_small_disk(data: Path, small: Path) -> None:
    """In the child, before it becomes PostgreSQL: namespaces of its own, and a disk in them."""
    maps = {"uid_map": os.geteuid(), "gid_map": os.getegid()}
    os.unshare(os.CLONE_NEWUSER | os.CLONE_NEWNS)
    Path("/proc/self/setgroups").write_text("deny")
    for name, outside in maps.items():
        Path(f"/proc/self/{name}").write_text(f"{servers.MAPPED_UID} {outside} 1")
    if LIBC.mount(b"tmpfs", os.fsencode(small), b"tmpfs", 0, DISK):
        raise OSError(ctypes.get_errno(), "mount")
    shutil.copytree(data, small, symlinks=True, dirs_exist_ok=True)
    small.chmod(0o700)
