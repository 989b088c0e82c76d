"""Rounds of cases and targets: who is asked in which turn, and what is read beside the answers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from config.dev.process import Child
from tests.bench import machine
from tests.bench.cases import CASES, OURS, Case
from tests.bench.driver import command, drive
from tests.bench.figures import Run
from tests.bench.targets import Target

SAMPLE_SHARE = 0.8
"""How far into a run memory is looked at."""
OVERHEAD_S = 0.35
"""Of a run: starting the driver, ending what is under way, reading the kernel's figures."""


@dataclass(frozen=True, kw_only=True)
class Rounds:
    """What is measured. back: the stub and PostgreSQL, which move to each target's layout."""

    targets: Sequence[Target]
    cases: Sequence[Case]
    count: int
    seconds: float
    back: Sequence[Child]
    body: Path
    postgres: Child | None

    def turns(self) -> Iterator[tuple[int, Case, Target]]:
        """A B A B: all targets of a case one after the other, the first one another each round."""
        for number in range(self.count):
            for case in self.cases:
                asked = [target for target in self.targets if target.name in case.targets]
                at = number % max(1, len(asked))
                for target in (*asked[at:], *asked[:at]):
                    yield number, case, target

    @property
    def total(self) -> int:
        return sum(1 for _ in self.turns())

    def duration_s(self) -> float:
        each = (case.warm_up_s + self.seconds + OVERHEAD_S for _, case, _ in self.turns())
        return sum(each)

    def measure(self) -> Iterator[Run]:
        """One run after the other, with a line about each."""
        for at, (number, case, target) in enumerate(self.turns(), start=1):
            run = self.one(number, case, target)
            figures = run.figures
            told = f"{figures['per_second']:>9,.0f}/s {figures['p50_ms']:>9.2f} ms"
            failed = f"  {run.failed} FAILED: {run.example[:120]}" if run.failed else ""
            print(
                f"  {at:>3}/{self.total}  {case.name:<11}{target.name:<9}{told}{failed}", flush=True
            )
            yield run

    def one(self, number: int, case: Case, target: Target) -> Run:
        """One run, with the processor time of both trees for each answer."""
        for child in self.back:
            machine.pin(child.process.pid, target.cores.back)
        words = command(case, target.address, self.body, self.seconds)
        trees = [target.pid, *([self.postgres.process.pid] if self.postgres else [])]
        memory = [machine.pss_mb(target.pid)]
        ticks = [machine.busy_and_all(target.cores.back)]
        cpu = [machine.cpu_seconds(tree) for tree in trees]
        done = drive(
            words,
            cores=target.cores.back,
            sample_after_s=case.warm_up_s + self.seconds * SAMPLE_SHARE,
            sample=lambda: memory.append(machine.pss_mb(target.pid)),
        )
        used = [machine.cpu_seconds(tree) - before for tree, before in zip(trees, cpu, strict=True)]
        ticks.append(machine.busy_and_all(target.cores.back))
        figures = dict(done.figures) | {"back_busy": busy_share(*ticks)}
        if target.is_server:
            figures["cpu_ms"] = 1000 * used[0] / max(1, done.answered)
            figures["pss_mb"] = memory[-1] / target.processes
            figures["opened_mb"] = (memory[-1] - memory[0]) / case.clients * 1000
        if target.name in OURS:
            figures["postgres_ms"] = 1000 * used[1] / max(1, done.answered)
        return Run(
            round=number,
            case=case.name,
            target=target.name,
            answered=done.answered,
            failed=done.failed,
            example=done.example,
            figures=figures,
        )


def busy_share(before: tuple[int, int], after: tuple[int, int]) -> float:
    """How much of the time the cores worked, from busy and all ticks before and after."""
    return (after[0] - before[0]) / max(1, after[1] - before[1])


def ceiling(stub: Target, body: Path, seconds: float) -> dict[str, float]:
    """What the driver reaches when the stub has a core of its own."""
    found = {}
    machine.pin(stub.pid, stub.cores.server)
    for case in CASES:
        if case.name in ("json64", "sse16"):
            done = drive(
                command(case, stub.address, body, seconds),
                cores=stub.cores.back,
                sample_after_s=case.warm_up_s + seconds,
                sample=lambda: None,
            )
            name = "events_per_second" if case.stream else "per_second"
            found[f"{'events' if case.stream else 'JSON answers'} a second"] = done.figures[name]
    return found
