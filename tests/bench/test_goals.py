"""Goals are met, missed or not measured."""

import pytest

from tests.bench.cases import BY_NAME
from tests.bench.goals import GOALS, Verdict, verdicts
from tests.bench.reports import CLEAN, report, run


def verdict(goal: str, *runs, **changes) -> Verdict:
    (found,) = [each for each in verdicts(report(*runs, **changes)) if each.goal.startswith(goal)]
    return found


@pytest.mark.parametrize(("ours", "word"), [(3000, "met"), (2999, "not met")])
def test_a_bound_below(ours, word):
    runs = [run("json64", "ours", per_second=ours), run("json64", "litellm", per_second=100)]
    assert verdict("JSON, 64 clients, beside LiteLLM", *runs).word == word


@pytest.mark.parametrize(("ours", "word"), [(1.5, "met"), (1.7, "not met")])
def test_a_bound_above_on_what_is_added(ours, word):
    runs = [run("json1", "ours", p50_ms=ours), run("json1", "direct", p50_ms=0.5)]
    assert verdict("Added to the median", *runs).word == word


def test_without_the_other_it_is_not_measured_and_says_who_is_missing():
    found = verdict("JSON, 64 clients, beside nginx", run("json64", "ours", per_second=9))
    assert (found.word, found.reached) == ("not measured", "without nginx")


def test_without_ours_nothing_is_met():
    words = {each.word for each in verdicts(report(audit=None))}
    assert words == {"not measured"}


@pytest.mark.parametrize(("most", "word"), [(120, "met"), (121, "not met")])
def test_memory_is_the_most_of_all_cases(most, word):
    runs = [run("json1", "ours", pss_mb=most), run("sse1", "ours", pss_mb=50)]
    assert verdict("Memory", *runs, run("sse1", "litellm", pss_mb=900)).word == word


@pytest.mark.parametrize(
    ("two", "cores", "word"),
    [(17, 2, "met"), (16, 2, "not measured"), (16, 4, "not met"), (17, 4, "met")],
)
def test_two_processes_are_judged_where_they_have_cores(two, cores, word):
    runs = [run("json64", "ours", per_second=10), run("json64", "ours2", per_second=two)]
    assert verdict("Two processes", *runs, cores=cores).word == word


@pytest.mark.parametrize(
    "broken", [{"holds": False}, {"open_holds": 1}, {"charges": 6}, {"charges": 8}]
)
def test_the_ledger_must_be_clean_and_charge_each_answer_once(broken):
    assert verdict("The ledger").word == "met"
    assert verdict("The ledger", audit=CLEAN | broken).word == "not met"


def test_every_goal_is_about_a_case_that_has_its_figure():
    for goal in GOALS:
        case = BY_NAME[goal.case]
        assert goal.figure in case.figures, goal
        assert {goal.target, goal.base} <= set(case.targets), goal
