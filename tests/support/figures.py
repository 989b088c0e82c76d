"""What a test has measured, printed below the outcomes; also from other processes."""

from collections.abc import Callable
from typing import Final

import pytest

PROPERTY: Final = "figures"

type Tell = Callable[[str], None]


@pytest.fixture
def figures(record_property: Callable[[str, object], None]) -> Tell:
    """Call it with a line, such as `12,000 steps, 300 a second`."""
    return lambda line: record_property(PROPERTY, line)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    told = [
        f"{report.nodeid}: {line}"
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        if report.when == "call"
        for name, line in report.user_properties
        if name == PROPERTY
    ]
    if told:
        terminalreporter.section("figures")
        for line in told:
            terminalreporter.line(line)
