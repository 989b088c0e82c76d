"""Medians, ratios, failures, and a report that survives JSON."""

import json

import pytest

from tests.bench.figures import Run, crowded, failures, medians, ratio
from tests.bench.reports import report, run


def test_the_median_of_the_rounds_counts_and_of_memory_the_most():
    rounds = [run("json1", "ours", per_second=each, pss_mb=each) for each in (1, 9, 3)]
    assert medians(rounds) == {"json1": {"ours": {"per_second": 3, "pss_mb": 9}}}


def test_cases_and_targets_are_kept_apart():
    found = medians([run("a", "x", p50_ms=1), run("a", "y", p50_ms=2), run("b", "x", p50_ms=3)])
    assert found == {"a": {"x": {"p50_ms": 1}, "y": {"p50_ms": 2}}, "b": {"x": {"p50_ms": 3}}}


@pytest.mark.parametrize(
    ("value", "base", "expected"),
    [(6, 3, 2), (0, 3, 0), (None, 3, None), (6, None, None), (6, 0, None)],
)
def test_there_is_no_ratio_to_nothing(value, base, expected):
    assert ratio(value, base) == expected


def test_failures_add_up_and_show_the_first_one():
    runs = [
        Run(round=0, case="json1", target="x", failed=2, example="500: first"),
        Run(round=1, case="json1", target="x", failed=1, example="502: second"),
        Run(round=0, case="json1", target="y"),
    ]
    assert failures(runs) == ["x, json1: 3 answers failed, such as 500: first"]


def test_a_target_is_crowded_when_the_median_round_was():
    runs = [run("a", "x", back_busy=share) for share in (0.5, 0.99, 0.98)]
    runs += [run("a", "y", back_busy=share) for share in (0.5, 0.6, 0.98)]
    assert crowded(runs, share=0.97) == [("a", "x")]


def test_a_report_survives_json():
    made = report(run("json1", "ours", per_second=2.5), notes=("a note",))
    told = json.loads(json.dumps(made.as_json()))
    assert type(made).of_json(told) == made
    assert told["medians"]["json1"]["ours"]["per_second"] == 2.5
