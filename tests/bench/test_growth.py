"""The growth report says whether each figure stayed flat, and shows plans without their noise."""

import argparse

import pytest

from tests.bench.growth import is_flat, sizes
from tests.bench.growth_report import TITLES, markdown, plans_markdown

PLAN = """Merge Append (actual rows=2.00 loops=1)
  ->  Index Scan using billing_request_2026_01_pkey on billing_request_2026_01 r_1 (actual rows=1)
        Index Cond: (id = ANY ('{01890a5d-ac96-774b-bcce-b302099a8057,01890a5d-ac96-774b-bcce-b302099a8058}'::uuid[]))
        Index Searches: 1
  ->  Index Scan using billing_request_2026_02_pkey on billing_request_2026_02 r_2 (actual rows=1)
        Index Cond: (id = '01890a5d-ac96-774b-bcce-b302099a8057'::uuid)
Planning:
  Buffers: shared hit=3
Planning Time: 0.1 ms"""  # noqa: E501


def report(*medians: float) -> dict[str, object]:
    return {
        "date": "1 May 2030",
        "machine": {
            "processor": "Abacus", "cores": "2", "memory": "4 GiB", "kernel": "Linux 9",
            "Python": "3.99",
        },
        "postgresql": "99.1",
        "sizes": [
            {
                "rows": 1_000 * 10**place, "seconds": 3.0, "gigabytes": 0.5, "verify_s": None,
                "medians": dict.fromkeys(TITLES, median),
            }
            for place, median in enumerate(medians)
        ],
    }  # fmt: skip


@pytest.mark.parametrize(("grown", "verdict"), [(1.2, "yes"), (1.21, "**no**"), (0.5, "yes")])
def test_a_figure_is_flat_within_a_fifth(grown, verdict):
    told = report(1.0, grown)
    row = next(line for line in markdown(told).splitlines() if line.startswith("| balance"))
    assert row == f"| balance | 1.00 | {grown:.2f} | {grown:.2f} | {verdict} |"
    assert is_flat(told) is (verdict == "yes")


def test_a_plan_shows_one_of_the_months_and_no_ids():
    assert plans_markdown({"page": [PLAN]}).splitlines() == [
        "### Page",
        "",
        "```text",
        "Merge Append (actual rows=2.00 loops=1)",
        "  …",
        "  ->  Index Scan using billing_request_2026_02_pkey on billing_request_2026_02 r_2"
        " (actual rows=1)",
        "        Index Cond: (id = '…'::uuid)",
        "Planning Time: 0.1 ms",
        "```",
    ]


def test_a_list_of_ids_is_cut():
    month = "\n".join(PLAN.splitlines()[:3])
    assert "ANY ('{…}'::uuid[])" in plans_markdown({"page": [month]})


def test_sizes_grow():
    assert sizes("1000,5_000_000") == [1_000, 5_000_000]
    for wrong in ("0", "2,1", "5,5"):
        with pytest.raises(argparse.ArgumentTypeError):
            sizes(wrong)
