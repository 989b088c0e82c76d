"""What the table shows."""

import pytest

from tests.bench.reports import report, run
from tests.bench.table import figures, markdown, number, replace_section
from tests.support.documents import rows


def cells(*runs, **changes) -> dict[tuple[str, str], list[str]]:
    return {(row[0], row[1]): row[2:] for row in rows(figures(report(*runs, **changes)))[1:]}


def test_targets_are_columns_and_ours_is_compared():
    found = figures(
        report(
            run("json1", "ours", per_second=50),
            run("json1", "direct", per_second=200),
            run("json1", "nginx", per_second=100),
        )
    )
    assert rows(found) == [
        ["case", "figure", "direct", "nginx", "ours", "ours ÷ direct", "ours ÷ nginx"],
        ["JSON, 1 client", "answers a second", "200", "100", "50", "0.25", "0.5"],
    ]


def test_who_took_no_part_in_a_case_has_an_empty_cell():
    found = cells(run("json1", "ours", per_second=50), run("sse1", "direct", per_second=9))
    assert found["JSON, 1 client", "answers a second"] == ["-", "50", "-"]


def test_a_rate_that_the_load_limited_is_marked():
    busy = run("json1", "ours", per_second=50, p50_ms=2, back_busy=1)
    found = cells(busy)
    assert found["JSON, 1 client", "answers a second"] == ["50 †"]
    assert found["", "median, ms"] == ["2"]
    assert "† What drives the load" in markdown(report(busy))


def test_memory_is_idle_then_the_most_then_what_open_streams_added():
    runs = [
        run("json1", "ours", per_second=1, pss_mb=60),
        run("sse500x10", "ours", pss_mb=80, opened_mb=20),
    ]
    found = cells(*runs, idle_mb={"ours": 50.0})
    assert found["Memory", "idle, MB"] == ["50"]
    assert found["", "under load, MB"] == ["80"]
    assert found["", "for 1,000 open streams, MB"] == ["20"]


def test_it_says_where_and_when_and_what_is_missing():
    runs = [run("json1", "ours", driver_cpu=share) for share in (0.125, 0.505)]
    told = markdown(report(*runs, notes=("A note.",), ceiling={"events a second": 250_000.0}))
    assert told.startswith("Measured on 1 May 2030, medians of 3 rounds of 2 s. 2 cores of Abacus,")
    assert "PostgreSQL 99.1" in told
    assert "\n- A note.\n" in told
    assert "250,000 events a second" in told
    assert "at most 50% of its core" in told


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (12345.6, "12,346"), (123.4, "123"), (12.34, "12.3"), (0.01234, "0.0123")],
)
def test_numbers_have_three_digits(value, text):
    assert number(value) == text


def test_a_section_is_replaced_up_to_the_next_of_its_level():
    page = "# A\n\n## The last run\n\nold\n\n### deeper\n\nold\n\n## After\n\nkept\n"
    once = replace_section(page, "## The last run", "new\n")
    assert once == "# A\n\n## The last run\n\nnew\n\n## After\n\nkept\n"
    assert replace_section(once, "## The last run", "new\n") == once
    assert replace_section("# A\n\n## B\n\nold\n", "## B", "new") == "# A\n\n## B\n\nnew\n"
