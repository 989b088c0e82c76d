"""`./run bench`: the proxy beside its peers, in one run, on this machine.

direct is the stub alone, the limit of everything; nginx passes on; LiteLLM and Portkey are what
others use. Quote ratios and medians: load, stub and PostgreSQL share the machine with the targets.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from config.dev.database import ROOT
from config.dev.process import INTERRUPTED, NotStartedError, end_on_signals
from config.dev.state import State, in_one_line
from tests.bench import goals, table, targets
from tests.bench.bench import Bench, Plan
from tests.bench.cases import BY_NAME, CASES, TITLES
from tests.bench.figures import Report

PAGE = ROOT / "templates" / "docs" / "performance.md"
SECTION = "## The last run"
PEERS = {"LiteLLM": targets.install_litellm, "Portkey": targets.install_portkey}


def main(arguments: list[str]) -> int:
    """The exit code: 1 when something did not start or an answer of ours failed."""
    if arguments[:1] == ["--growth"]:
        from tests.bench import growth  # noqa: PLC0415 - it loads what only it needs.

        return growth.main(arguments[1:])
    options = parser().parse_args(arguments)
    end_on_signals()
    try:
        report = read(options.read) if options.read else measure(options)
    except NotStartedError as error:
        print(f"./run bench: {error}", file=sys.stderr)
    except OSError as error:
        print(f"./run bench: {in_one_line(error)}", file=sys.stderr)
    except KeyboardInterrupt:
        return INTERRUPTED
    else:
        write(report, options)
        return 0 if goals.books(report).is_met is not False else 1
    return 1


def parser() -> argparse.ArgumentParser:
    """The words of `--help`."""
    cases = "\n".join(f"  {case.name:<12}{case.title}" for case in CASES)
    known = "\n".join(f"  {name:<12}{title}" for name, title in TITLES.items())
    found = argparse.ArgumentParser(
        prog="./run bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"cases:\n{cases}\n\ntargets:\n{known}",
    )
    default = ",".join(case.name for case in CASES if case.is_default)
    found.add_argument("--cases", type=chosen(BY_NAME), default=default, help="with commas")
    found.add_argument(
        "--targets", type=chosen(TITLES), default=",".join(TITLES), help="with commas"
    )
    found.add_argument("--rounds", type=int, default=3, help="of all cases and targets (3)")
    found.add_argument("--seconds", type=float, default=2, help="of each run (2)")
    found.add_argument(
        "--peers", action="store_true", help="install LiteLLM and Portkey first, into .cache/bench"
    )
    found.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    found.add_argument("--markdown", type=Path, metavar="FILE", help="write the table there")
    found.add_argument(
        "--docs", action="store_true", help=f"write the table into {PAGE.relative_to(ROOT)}"
    )
    found.add_argument(
        "--read", type=Path, metavar="FILE", help="measure nothing: the JSON of an earlier run"
    )
    found.add_argument(
        "--growth", action="store_true", help="how cost grows with the ledger; --growth --help"
    )
    return found


def chosen(known: Iterable[str]) -> Callable[[str], list[str]]:
    """A reader of names with commas, which keeps the order of what is known."""

    def read_names(text: str) -> list[str]:
        names = text.split(",")
        if unknown := set(names) - set(known):
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}")
        return [name for name in known if name in names]

    return read_names


def measure(options: argparse.Namespace) -> Report:
    """Raises: NotStartedError."""
    if sys.platform != "linux":
        raise NotStartedError("it needs Linux: its driver uses epoll, its figures /proc.")
    for name in ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL"):
        os.environ.pop(name, None)  # Nobody's data: it starts servers of its own.
    if options.peers:
        for name, install in PEERS.items():
            try:
                install()
            except NotStartedError as error:
                print(f"Without {name}: {error}", flush=True)
    plan = Plan(
        cases=[BY_NAME[name] for name in options.cases],
        targets=["direct", *(name for name in options.targets if name != "direct")],
        rounds=options.rounds,
        seconds=options.seconds,
    )
    folder = Path(tempfile.mkdtemp(prefix="paywalls-bench-"))
    bench = Bench(State(folder), plan)
    try:
        return bench.run()
    finally:
        bench.stop()
        shutil.rmtree(folder, ignore_errors=True)


def read(path: Path) -> Report:
    return Report.of_json(json.loads(path.read_text()))


def write(report: Report, options: argparse.Namespace) -> None:
    """Print the table, and put it where it was asked for."""
    text = table.markdown(report)
    print(text)
    if options.json:
        options.json.write_text(json.dumps(report.as_json(), indent=1) + "\n")
    if options.markdown:
        options.markdown.write_text(text)
    if options.docs:
        PAGE.write_text(table.replace_section(PAGE.read_text(), SECTION, text))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
