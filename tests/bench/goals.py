"""The goals, and whether a report meets them. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.bench.figures import Report, ratio
from tests.bench.machine import CORES_FOR_TWO

MEMORY_MB_MOST: Final = 120
type Medians = dict[str, dict[str, dict[str, float]]]


@dataclass(frozen=True)
class Verdict:
    """is_met: None when it could not be measured; `reached` says why."""

    goal: str
    wanted: str
    reached: str
    is_met: bool | None

    @property
    def word(self) -> str:
        return {True: "met", False: "not met", None: "not measured"}[self.is_met]


@dataclass(frozen=True, kw_only=True)
class Goal:
    """A figure of ours in a case, beside the same of another target.

    by: how it is compared. is_most: the bound is the most, not the least.
    """

    title: str
    case: str
    figure: str
    base: str
    by: Callable[[float, float], float | None]
    bound: float
    is_most: bool = False
    unit: str = "\N{MULTIPLICATION SIGN}"
    target: str = "ours"

    def judge(self, found: Medians) -> Verdict:
        sign = "≤" if self.is_most else "≥"
        wanted = f"{sign} {self.bound:g} {self.unit}"
        targets = found.get(self.case, {})
        ours = targets.get(self.target, {}).get(self.figure)
        base = targets.get(self.base, {}).get(self.figure)
        if not ours or not base:
            missing = self.base if ours else self.target
            return Verdict(self.title, wanted, f"without {missing}", None)
        reached = self.by(ours, base)
        assert reached is not None, self
        is_met = reached <= self.bound if self.is_most else reached >= self.bound
        return Verdict(self.title, wanted, f"{reached:.3g} {self.unit}", is_met)


def added(ours: float, base: float) -> float:
    return ours - base


GOALS: Final = (
    Goal(
        title="JSON, 64 clients, beside LiteLLM",
        case="json64",
        figure="per_second",
        base="litellm",
        by=ratio,
        bound=30,
    ),
    Goal(
        title="JSON, 64 clients, beside Portkey",
        case="json64",
        figure="per_second",
        base="portkey",
        by=ratio,
        bound=4,
    ),
    Goal(
        title="JSON, 64 clients, beside nginx",
        case="json64",
        figure="per_second",
        base="nginx",
        by=ratio,
        bound=0.08,
    ),
    Goal(
        title="SSE, 16 clients, beside LiteLLM",
        case="sse16",
        figure="per_second",
        base="litellm",
        by=ratio,
        bound=35,
    ),
    Goal(
        title="SSE, 16 clients, beside nginx",
        case="sse16",
        figure="per_second",
        base="nginx",
        by=ratio,
        bound=0.75,
    ),
    Goal(
        title="Added to the median, JSON, 1 client",
        case="json1",
        figure="p50_ms",
        base="direct",
        by=added,
        bound=1,
        is_most=True,
        unit="ms",
    ),
    Goal(
        title="The same, as far as it may go",
        case="json1",
        figure="p50_ms",
        base="direct",
        by=added,
        bound=0.8,
        is_most=True,
        unit="ms",
    ),
    Goal(
        title="Added to the first event of one stream",
        case="first",
        figure="first_event_p50_ms",
        base="direct",
        by=added,
        bound=2,
        is_most=True,
        unit="ms",
    ),
    Goal(
        title="p99 gap of 500 streams at 10 ms a token, beside direct",
        case="sse500x10",
        figure="gap_p99_ms",
        base="direct",
        by=ratio,
        bound=1.5,
        is_most=True,
    ),
)


def verdicts(report: Report) -> list[Verdict]:
    """All goals, in the order of the table."""
    found = report.medians()
    return [
        *(goal.judge(found) for goal in GOALS),
        memory(found),
        two(report, found),
        books(report),
    ]


def memory(found: Medians) -> Verdict:
    """The most that our one process had in any case."""
    goal, wanted = "Memory of a process under load", f"≤ {MEMORY_MB_MOST} MB"
    ours = [targets["ours"] for targets in found.values() if "ours" in targets]
    sizes = [figures["pss_mb"] for figures in ours if "pss_mb" in figures]
    if not sizes:
        return Verdict(goal, wanted, "without ours", None)
    return Verdict(goal, wanted, f"{max(sizes):.0f} MB", max(sizes) <= MEMORY_MB_MOST)


def two(report: Report, found: Medians) -> Verdict:
    """Two processes can only show what they do where they have cores of their own."""
    goal = Goal(
        title="Two processes beside one, JSON, 64 clients",
        case="json64",
        figure="per_second",
        base="ours",
        target="ours2",
        by=ratio,
        bound=1.7,
    )
    judged = goal.judge(found)
    cores = int(report.machine["cores"])
    if judged.is_met or cores >= CORES_FOR_TWO:
        return judged
    why = f"{judged.reached}, on {cores} cores that both share with the load and PostgreSQL"
    return Verdict(judged.goal, judged.wanted, why, None)


def books(report: Report) -> Verdict:
    goal, wanted = "The ledger afterwards", "every promise holds, each answer charged once"
    audit = report.audit
    if audit is None:
        return Verdict(goal, wanted, "without ours", None)
    verified = "passed" if audit["holds"] else "failed"
    reached = (
        f"{audit['charges']:,} charges for {audit['answers']:,} answers,"
        f" {audit['open_holds']} holds open, ledger_verify {verified}"
    )
    is_met = audit["holds"] and not audit["open_holds"] and audit["charges"] == audit["answers"]
    return Verdict(goal, wanted, reached, is_met)
