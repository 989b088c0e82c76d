"""A report as Markdown. Pure."""

from collections.abc import Iterable, Mapping
from typing import Final

from tests.bench.cases import CASES, TITLES
from tests.bench.figures import Report, crowded, failures, ratio
from tests.bench.goals import verdicts

BASES: Final = ("direct", "nginx", "litellm", "portkey")
FIGURES: Final = {
    "per_second": "answers a second",
    "events_per_second": "events a second",
    "p50_ms": "median, ms",
    "p99_ms": "p99, ms",
    "first_event_p50_ms": "first event, median, ms",
    "first_event_p99_ms": "first event, p99, ms",
    "gap_p99_ms": "gap between events, p99, ms",
    "cpu_ms": "processor, ms an answer",
    "postgres_ms": "of PostgreSQL, ms an answer",
    "pss_mb": "under load, MB",
    "idle_mb": "idle, MB",
    "opened_mb": "for 1,000 open streams, MB",
}
WITHOUT_RATIO: Final = frozenset({"postgres_ms", "idle_mb", "pss_mb", "opened_mb"})
CROWDED: Final = 0.97
NOTHING: Final = "-"
MARK: Final = "†"

type Row = Mapping[str, float]


def markdown(report: Report) -> str:
    """Goals, the table, and what one must know to read it."""
    parts = [machine(report), goals(report), figures(report), notes(report)]
    return "\n\n".join(part for part in parts if part) + "\n"


def machine(report: Report) -> str:
    said = report.machine
    versions = [f"{name} {version}" for name, version in report.versions.items()]
    asked = f"medians of {report.rounds} rounds of {report.seconds:g} s"
    return (
        f"Measured on {report.date}, {asked}. {said['cores']} cores of {said['processor']},"
        f" {said['memory']}, {said['kernel']}; Python {said['Python']},"
        f" {', '.join(versions)}."
    )


def goals(report: Report) -> str:
    rows = [(each.goal, each.wanted, each.reached, each.word) for each in verdicts(report)]
    return lines(("goal", "wanted", "reached", ""), rows)


def figures(report: Report) -> str:
    """A row for each figure of each case; targets as columns, then ours beside them."""
    found = report.medians()
    present = [name for name in TITLES if any(name in targets for targets in found.values())]
    bases = [name for name in BASES if name in present and "ours" in present]
    heads = ("case", "figure", *(TITLES[name] for name in present))
    limited = set(crowded(report.runs, share=CROWDED))
    rows = []
    for case in CASES:
        targets = found.get(case.name, {})
        title = case.title
        for figure in case.figures:
            row = {name: told[figure] for name, told in targets.items() if figure in told}
            if not row:
                continue
            marked = {name for name in row if (case.name, name) in limited}
            marked = marked if figure.endswith("per_second") else set()
            rows.append((title, FIGURES[figure], *cells(row, present, marked, figure, bases)))
            title = ""
    title = "Memory"
    for figure, row in memory(report).items():
        rows.append((title, FIGURES[figure], *cells(row, present, set(), figure, bases)))
        title = ""
    return lines((*heads, *(f"ours ÷ {TITLES[base]}" for base in bases)), rows)


def cells(
    row: Row, present: Iterable[str], marked: set[str], figure: str, bases: Iterable[str]
) -> list[str]:
    values = [number(row.get(name)) + (f" {MARK}" if name in marked else "") for name in present]
    compared = row if figure not in WITHOUT_RATIO else {}
    return values + [number(ratio(compared.get("ours"), compared.get(base))) for base in bases]


def memory(report: Report) -> dict[str, dict[str, float]]:
    """By figure, then target: idle, the most under load, and what open streams added."""
    found = report.medians()
    load: dict[str, float] = {}
    for targets in found.values():
        for name, told in targets.items():
            if "pss_mb" in told:
                load[name] = max(load.get(name, 0), told["pss_mb"])
    many = {
        name: told["opened_mb"]
        for name, told in found.get("sse500x10", {}).items()
        if "opened_mb" in told
    }
    sizes = {"idle_mb": dict(report.idle_mb), "pss_mb": load, "opened_mb": many}
    return {figure: row for figure, row in sizes.items() if row}


def notes(report: Report) -> str:
    told = list(report.notes)
    if crowded(report.runs, share=CROWDED):
        told.append(
            f"{MARK} What drives the load (driver, stub, PostgreSQL) was at the limit of its core:"
            " the target can do more."
        )
    if report.ceiling:
        each = ", ".join(f"{number(value)} {name}" for name, value in report.ceiling.items())
        told.append(f"The driver alone, the stub on another core: {each}.")
    if shares := [run.figures["driver_cpu"] for run in report.runs if "driver_cpu" in run.figures]:
        told.append(f"In the rounds the driver took at most {max(shares):.0%} of its core.")
    told += failures(report.runs)
    return "\n".join(f"- {line}" for line in told)


def lines(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    heads = list(heads)
    rule = "|" + "---|" * len(heads)
    return "\n".join(
        [f"| {' | '.join(heads)} |", rule, *(f"| {' | '.join(row)} |" for row in rows)]
    )


def number(value: float | None) -> str:
    """Three digits, but whole numbers from a hundred on."""
    if value is None:
        return NOTHING
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def replace_section(page: str, heading: str, content: str) -> str:
    """The page with another text between this heading and the next of its level."""
    start = page.index(f"\n{heading}\n") + len(heading) + 2
    level = heading.split(maxsplit=1)[0]
    end = page.find(f"\n{level} ", start)
    rest = page[end:] if end >= 0 else ""
    return f"{page[:start]}\n{content.rstrip()}\n{rest}"
