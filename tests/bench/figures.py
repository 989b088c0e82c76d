"""From runs to medians and ratios. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

MOST = frozenset({"pss_mb", "opened_mb"})
"""Of these the most counts: memory that one run took is there for the next."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One case at one target in one round. figures: by name, with the unit at its end."""

    round: int
    case: str
    target: str
    answered: int = 0
    failed: int = 0
    example: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything that is kept of a benchmark; JSON and back.

    machine, versions: name -> what it is. seconds: of each run.
    idle_mb: by target, of one process. ceiling: what the driver can do against the bare stub.
    audit: the ledger afterwards; None when ours took no part.
    """

    date: str
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    rounds: int
    seconds: float
    notes: tuple[str, ...]
    runs: tuple[Run, ...]
    idle_mb: Mapping[str, float]
    ceiling: Mapping[str, float]
    audit: Mapping[str, Any] | None

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"medians": self.medians()}

    @classmethod
    def of_json(cls, told: Mapping[str, Any]) -> "Report":
        kept = {name: value for name, value in told.items() if name != "medians"}
        runs = tuple(Run(**run) for run in told["runs"])
        return cls(**kept | {"runs": runs, "notes": tuple(told["notes"])})

    def medians(self) -> dict[str, dict[str, dict[str, float]]]:
        return medians(self.runs)


def medians(runs: Iterable[Run]) -> dict[str, dict[str, dict[str, float]]]:
    """case -> target -> figure: the median of the rounds, and the most of what MOST names."""
    values: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for run in runs:
        for name, value in run.figures.items():
            values[run.case, run.target, name].append(value)
    found: dict[str, dict[str, dict[str, float]]] = {}
    for (case, target, name), several in values.items():
        summary = max(several) if name in MOST else median(several)
        found.setdefault(case, {}).setdefault(target, {})[name] = summary
    return found


def ratio(value: float | None, base: float | None) -> float | None:
    """None when there is nothing to compare with."""
    if value is None or not base:
        return None
    return value / base


def failures(runs: Iterable[Run]) -> list[str]:
    """One line for each case and target with answers that failed."""
    counts: dict[tuple[str, str], int] = defaultdict(int)
    examples: dict[tuple[str, str], str] = {}
    for run in runs:
        if run.failed:
            counts[run.case, run.target] += run.failed
            examples.setdefault((run.case, run.target), run.example)
    return [
        f"{target}, {case}: {count:,} answers failed, such as {examples[case, target][:200]}"
        for (case, target), count in counts.items()
    ]


def crowded(runs: Iterable[Run], *, share: float) -> list[tuple[str, str]]:
    """Cases and targets in which what drives the load was at its limit: case, target."""
    found = medians(runs)
    return [
        (case, target)
        for case, targets in found.items()
        for target, figures in targets.items()
        if figures.get("back_busy", 0) >= share
    ]
