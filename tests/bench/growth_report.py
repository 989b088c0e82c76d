"""What `./run bench --growth` found, as Markdown."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

MET_RATIO: Final = 1.2
TITLES: Final = {
    "one": "reserve and settle, one caller",
    "many": "reserve and settle, 64 callers, for one",
    "many_any": "the same, each time of other users",
    "balance": "balance",
    "history": "ledger page of a wallet, 50 rows",
    "history_api": "the same through the API's pool",
    "requests": "request list, 50 rows",
    "model": "the same, one model",
    "user": "the same, one user",
    "analytics": "analytics of a paywall, 30 days",
}
HEX: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
LIST: Final = re.compile(r"\{…(,…)+\}")
MONTH: Final = re.compile(r"billing_request_(\d{4}_\d\d|default)")
PLANNING: Final = re.compile(r"Planning:\n.*\n")
DROPPED: Final = ("Index Searches:", "Heap Fetches:", "Cache Mode:", "Hits:")
LINE_CHARS_MAX: Final = 150


def markdown(report: Mapping[str, Any]) -> str:
    """The table: milliseconds at the smallest size, and each other size beside it."""
    first, *others = report["sizes"]
    heads = ["median, ms", f"{first['rows']:,} rows"]
    for each in others:
        heads += [f"{each['rows']:,} rows", "ratio"]
    heads.append(f"within {MET_RATIO - 1:.0%}")
    rows = [heads, ["---"] + ["---:"] * (len(heads) - 2) + ["---"]]
    for case, title in TITLES.items():
        base = first["medians"][case]
        ratios = [each["medians"][case] / base for each in others]
        cells = [title, f"{base:.2f}"]
        for each, ratio in zip(others, ratios, strict=True):
            cells += [f"{each['medians'][case]:.2f}", f"{ratio:.2f}"]
        rows.append([*cells, "yes" if all(ratio <= MET_RATIO for ratio in ratios) else "**no**"])
    lines = ["| " + " | ".join(cells) + " |" for cells in rows]
    return "\n".join([_where(report), "", *lines, "", *_sizes(report["sizes"])])


def _where(report: Mapping[str, Any]) -> str:
    known = report["machine"]
    return (
        f"{report['date']}, {known['processor']}, {known['cores']} cores, {known['memory']}, "
        f"{known['kernel']}, PostgreSQL {report['postgresql']}, Python {known['Python']}."
    )


def _sizes(sizes: Sequence[Mapping[str, Any]]) -> list[str]:
    heads = ["| rows | database | filled in | `ledger_verify` |", "|---:|---:|---:|---:|"]
    return heads + [
        f"| {each['rows']:,} | {each['gigabytes']:.2f} GB | {each['seconds']:.0f} s |"
        f" {_seconds(each['verify_s'])} |"
        for each in sizes
    ]


def _seconds(seconds: float | None) -> str:
    return "not run" if seconds is None else f"{seconds:.0f} s"


def plans_markdown(plans: Mapping[str, Sequence[str]]) -> str:
    """Every plan, without what does not change from one to the next."""
    parts = []
    for name, texts in plans.items():
        parts += [f"### {name[0].upper()}{name[1:]}", ""]
        for text in texts:
            parts += ["```text", *_abbreviated(text), "```", ""]
    return "\n".join(parts)


def _abbreviated(text: str) -> list[str]:
    """Ids are cut; a month is left out when the one that follows is read in the same way."""
    lines: list[str] = []
    shape, starts, depth = "", 0, 0
    for raw in PLANNING.sub("", text).splitlines():
        line = LIST.sub("{…}", HEX.sub("…", raw))[:LINE_CHARS_MAX]
        indent = len(line) - len(line.lstrip())
        if line.strip().startswith(DROPPED):
            continue
        if MONTH.search(line):
            alike = re.sub(r"\d", "", MONTH.sub("", line.split("(actual")[0]))
            if alike == shape and indent == depth:
                del lines[starts:]
                lines.append(f"{' ' * indent}…")
            shape, starts, depth = alike, len(lines), indent
        lines.append(line)
    return lines
