"""What the kernel knows: cores, processor time and memory of process trees. Linux only."""

import os
import platform
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
MIB_KIB = 1024
CORES_FOR_TWO = 4
"""Two processes under test, and what drives them, each on cores of its own."""

Cores = frozenset[int]


@dataclass(frozen=True)
class Layout:
    """Which cores the server under test has, and which the stub, driver and PostgreSQL have."""

    server: Cores
    back: Cores


def layout(cores: Iterable[int], processes: int = 1) -> Layout:
    """One process has the first core and the rest of the system the last one, as far as there are.

    With four cores and more, the back gets all from the third on, so that it does not limit two
    processes; with fewer, two processes share all cores with the back.
    """
    known = sorted(cores)
    if len(known) >= CORES_FOR_TWO:
        return Layout(frozenset(known[:processes]), frozenset(known[2:]))
    if processes > 1:
        return Layout(frozenset(known), frozenset(known))
    return Layout(frozenset(known[:1]), frozenset(known[-1:]))


def own_cores() -> Cores:
    return frozenset(os.sched_getaffinity(0))


def tree(pid: int) -> list[int]:
    """The process and all its descendants."""
    children = defaultdict(list)
    for path in Path("/proc").glob("[0-9]*"):
        try:
            children[int(_stat(path)[1])].append(int(path.name))
        except OSError:
            continue  # It has just ended.
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        todo += children[found[-1]]
    return found


def pin(pid: int, cores: Cores) -> None:
    """Every thread of the tree runs on these cores only, and so do its later children."""
    for member in tree(pid):
        for thread in Path(f"/proc/{member}/task").glob("[0-9]*"):
            try:
                os.sched_setaffinity(int(thread.name), cores)
            except ProcessLookupError:
                continue


def cpu_seconds(pid: int) -> float:
    """Processor time of the tree, with that of children who ended."""
    ticks = 0
    for member in tree(pid):
        try:
            ticks += sum(int(value) for value in _stat(Path(f"/proc/{member}"))[11:15])
        except OSError:
            continue
    return ticks / TICKS_A_SECOND


def pss_mb(pid: int) -> float:
    """Memory of the tree in MiB; what processes share is divided among them."""
    return sum(_pss_kib(member) for member in tree(pid)) / MIB_KIB


def _pss_kib(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def busy_and_all(cores: Cores) -> tuple[int, int]:
    """Ticks in which these cores worked, and all ticks, since the machine began."""
    names = {f"cpu{core}" for core in cores}
    busy = total = 0
    for line in Path("/proc/stat").read_text().splitlines():
        name, *values = line.split()
        if name in names:
            ticks = [int(value) for value in values[:8]]
            total += sum(ticks)
            busy += sum(ticks) - ticks[3] - ticks[4]  # Idle, and idle while a disk works.
    return busy, total


def describe(cores: Cores) -> dict[str, str]:
    """The machine in the words that belong beside a figure; of its cores those we may use."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    return {
        "processor": models[0] if models else platform.machine(),
        "cores": str(len(cores)),
        "memory": f"{memory:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release().split('-')[0]}",
        "Python": platform.python_version(),
    }


def _stat(process: Path) -> list[str]:
    """The fields after the name, which may hold blanks: state, parent, …"""
    return (process / "stat").read_text().rpartition(")")[2].split()
