"""Which tests prove which numbers, and whether they passed: `--proofs` and `--proofs-json FILE`.

A pytest plugin. Under xdist the numbers travel in each report's properties, so the process that
prints need not have run anything. `python -m tests.support.proofs FILE` prints such a file;
`F84=failed` after it adds an outcome of something that is no test.
"""

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.numbers import LATER, NUMBER, TITLES, in_order

type Outcomes = Mapping[str, Mapping[str, str]]
"""Number -> test -> passed, failed or skipped."""

PROPERTY = "proves"
WORST = ("failed", "skipped", "passed")
"""Of several tests of a number, the first of these that occurs is the number's."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("proofs")
    group.addoption("--proofs", action="store_true", help="print what is proved, by its numbers")
    group.addoption("--proofs-json", type=Path, metavar="FILE", help="write the same to a file")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Proofs(), "paywalls-proofs")


def pytest_itemcollected(item: pytest.Item) -> None:
    numbers = {number for mark in item.iter_markers("proves") for number in mark.args}
    if unknown := sorted(number for number in numbers if not NUMBER.fullmatch(number)):
        raise pytest.UsageError(f"{item.nodeid} proves {unknown}, which are no numbers.")
    if numbers:
        item.user_properties.append((PROPERTY, " ".join(sorted(numbers, key=in_order))))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest begin first, so that none is waited for alone at the end."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


class Proofs:
    """Collects the outcomes of this run."""

    def __init__(self) -> None:
        self.outcomes: dict[str, dict[str, str]] = defaultdict(dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and report.passed:
            return
        for number in str(dict(report.user_properties).get(PROPERTY, "")).split():
            tests = self.outcomes[number]
            tests[report.nodeid] = worst([report.outcome, tests.get(report.nodeid, "passed")])

    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter, config: pytest.Config
    ) -> None:
        if file := config.getoption("proofs_json"):
            file.write_text(json.dumps(self.outcomes, indent=1) + "\n")
        if config.getoption("proofs"):
            terminalreporter.section("proofs")
            for line in table(self.outcomes):
                terminalreporter.line(line)


def table(outcomes: Outcomes) -> Iterator[str]:
    """Number, outcome, how many tests, title; below it those of its tests that did not pass."""
    counts: Counter[str] = Counter()
    for number in sorted({*TITLES, *outcomes}, key=in_order):
        tests = outcomes.get(number, {})
        status = status_of(number, tests)
        counts[status] += 1
        reason = f" ({LATER[number]})" if status == "later" else ""
        yield f"{number:4} {status:8}{len(tests):3}  {TITLES.get(number, '')}{reason}"
        for test, outcome in tests.items():
            if outcome != "passed":
                yield f"{'':18}{outcome}: {test}"
    yield ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))


def status_of(number: str, tests: Mapping[str, str]) -> str:
    if tests:
        return worst(tests.values())
    return "later" if number in LATER else "missing"


def worst(outcomes: Iterable[str]) -> str:
    return min(outcomes, key=WORST.index)


def main(file: str, *more: str) -> int:
    """Prints the table; 1 when a number failed."""
    outcomes: dict[str, dict[str, str]] = json.loads(Path(file).read_text())
    for number, _, outcome in (text.partition("=") for text in more):
        outcomes.setdefault(number, {})["(no test)"] = outcome
    print(*table(outcomes), sep="\n")  # noqa: T201
    return int(any(status_of(*item) == "failed" for item in outcomes.items()))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
