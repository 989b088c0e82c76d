"""Reports for the tests, as short as they can be."""

from typing import Any

from tests.bench.figures import Report, Run

CLEAN = {"charges": 7, "answers": 7, "open_holds": 0, "printed": "", "holds": True}


def run(case: str, target: str, **figures: float) -> Run:
    return Run(round=0, case=case, target=target, figures=figures)


def report(*runs: Run, cores: int = 2, **changes: Any) -> Report:
    fields: dict[str, Any] = {
        "date": "1 May 2030",
        "machine": {
            "processor": "Abacus",
            "cores": str(cores),
            "memory": "4 GiB",
            "kernel": "Linux 9",
            "Python": "3.99",
        },
        "versions": {"PostgreSQL": "99.1"},
        "rounds": 3,
        "seconds": 2.0,
        "notes": (),
        "runs": runs,
        "idle_mb": {},
        "ceiling": {},
        "audit": CLEAN,
    }
    return Report(**fields | changes)
