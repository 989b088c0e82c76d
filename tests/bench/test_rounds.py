"""Who is asked when, and on which cores."""

from pathlib import Path
from unittest.mock import Mock

import pytest

from tests.bench.cases import BY_NAME
from tests.bench.driver import Address
from tests.bench.machine import layout
from tests.bench.rounds import Rounds, busy_share
from tests.bench.targets import Target


def rounds(count: int, cases: list[str], targets: list[str]) -> Rounds:
    return Rounds(
        targets=[Target(name, Address(port=1), Mock(), layout([0])) for name in targets],
        cases=[BY_NAME[name] for name in cases],
        count=count,
        seconds=2,
        back=[],
        body=Path("body"),
        postgres=None,
    )


def turns(*args) -> list[str]:
    return [f"{number} {case.name} {target.name}" for number, case, target in rounds(*args).turns()]


def test_targets_take_turns_within_a_case_and_another_one_begins_each_round():
    assert turns(2, ["json1", "sse1"], ["direct", "nginx", "ours"]) == [
        *("0 json1 direct", "0 json1 nginx", "0 json1 ours"),
        *("0 sse1 direct", "0 sse1 nginx", "0 sse1 ours"),
        *("1 json1 nginx", "1 json1 ours", "1 json1 direct"),
        *("1 sse1 nginx", "1 sse1 ours", "1 sse1 direct"),
    ]


def test_a_case_asks_its_own_targets_only():
    assert turns(1, ["refuse64"], ["direct", "ours"]) == ["0 refuse64 ours"]
    assert turns(1, ["refuse64"], ["direct"]) == []


def test_the_duration_is_known_beforehand():
    planned = rounds(3, ["json1"], ["direct", "ours"])
    assert planned.total == 6
    assert planned.duration_s() == pytest.approx(6 * (0.7 + 2 + 0.35))


@pytest.mark.parametrize(
    ("cores", "processes", "server", "back"),
    [
        ([0], 1, {0}, {0}),
        ([0], 2, {0}, {0}),
        ([0, 1], 1, {0}, {1}),
        ([0, 1], 2, {0, 1}, {0, 1}),
        ([4, 5, 6], 1, {4}, {6}),
        ([0, 1, 2, 3], 1, {0}, {2, 3}),
        ([0, 1, 2, 3, 4], 2, {0, 1}, {2, 3, 4}),
    ],
)
def test_the_server_and_what_drives_it_have_cores_of_their_own_where_there_are(
    cores, processes, server, back
):
    assert layout(cores, processes) == layout(reversed(cores), processes)
    found = layout(cores, processes)
    assert (found.server, found.back) == (server, back)


def test_the_busy_share_is_of_the_time_between():
    assert busy_share((10, 100), (60, 200)) == 0.5
    assert busy_share((10, 100), (10, 100)) == 0
