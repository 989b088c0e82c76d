#!/usr/bin/env python3
"""Checks an exported ledger without the product, its database or any package: plain Python.

    python3 -I outside_verify.py EXPORT              the chain and every row of the export
    python3 -I outside_verify.py EARLIER EXPORT      and that it continues an earlier one

EXPORT is a folder of `ledger_export`. EARLIER is such a folder, its `chain.jsonl` alone, or a
checkpoint noted as `number:hash`. Exits with 1 when something was changed, added or taken away.

An export is `chain.jsonl`, a line for each checkpoint: {"body": "…", "hash": "…"}, where hash is
sha256(hash of the one before + body), 32 zero bytes before the first; and for each checkpoint
`rows-NUMBER.txt.gz`, a line for each transaction, whose sha256 is the body's `digest`:

    first-entry transaction kind request reverses occurred created LEG LEG …

LEG is entry:account:kind:currency:mode:amount:balance:version. Times are microseconds since 1970,
amounts nanos, `-` is nothing. Nothing in it names a person.
"""

import gzip
import hashlib
import json
import re
import sys
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

GENESIS = bytes(32)
HEAD = 7
"""Words of a line before its legs."""


class Window:
    """What the lines of one checkpoint come to."""

    def __init__(self, after: int) -> None:
        self._digest = hashlib.sha256()
        self._sums: dict[tuple[str, str, str], int] = {}
        self._last = after
        self.transactions = 0
        self.entries = 0
        self.faults: list[str] = []

    def add(self, line: bytes) -> None:
        """Counts one transaction's line, with its line feed."""
        self._digest.update(line)
        words = line.decode("ascii").split()
        first, transaction, legs = int(words[0]), words[1], words[HEAD:]
        balances: dict[tuple[str, str], int] = {}
        for leg in legs:
            _, _, kind, currency, mode, amount, _, _ = leg.split(":")
            nanos = int(amount)
            key = (currency, mode, kind)
            self._sums[key] = self._sums.get(key, 0) + nanos
            balances[currency, mode] = balances.get((currency, mode), 0) + nanos
        if len(legs) < 2 or any(balances.values()):
            self.faults.append(f"transaction {transaction} does not balance")
        if first <= self._last:
            self.faults.append(f"transaction {transaction} is out of order")
        self._last = first
        self.transactions += 1
        self.entries += len(legs)

    def facts(self) -> dict[str, object]:
        """As a checkpoint's body has them."""
        return {
            "transactions": self.transactions,
            "entries": self.entries,
            "sums": [[*key, nanos] for key, nanos in sorted(self._sums.items())],
            "digest": self._digest.hexdigest(),
        }


def link(before: bytes, body: str) -> bytes:
    """The hash of a checkpoint, from that of the one before it."""
    return hashlib.sha256(before + body.encode()).digest()


def chain_faults(chain: Iterable[tuple[str, bytes]]) -> Iterator[str]:
    """What is wrong with a chain of (body, hash), by itself."""
    before, upto = GENESIS, 0
    for number, (body, digest) in enumerate(chain, 1):
        facts = json.loads(body)
        if link(before, body) != digest:
            yield f"checkpoint {number}: its hash is not that of its content and the one before"
        if (facts["number"], facts["after"]) != (number, upto):
            yield f"checkpoint {number} does not continue the one before"
        before, upto = digest, facts["upto"]


def read_chain(path: Path) -> list[tuple[str, bytes]]:
    """The checkpoints of an export."""
    file = path / "chain.jsonl" if path.is_dir() else path
    lines = [json.loads(line) for line in file.read_text("ascii").splitlines()]
    return [(line["body"], bytes.fromhex(line["hash"])) for line in lines]


def rows_faults(file: Path, facts: dict[str, object]) -> Iterator[str]:
    """What is wrong with the rows of one checkpoint."""
    number, after = facts["number"], facts["after"]
    assert isinstance(after, int)
    window = Window(after)
    try:
        with gzip.open(file) as lines:
            for line in lines:
                window.add(line)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        yield f"checkpoint {number}: its rows cannot be read: {error}"
    yield from (f"checkpoint {number}: {fault}" for fault in window.faults)
    for name, found in window.facts().items():
        if found != facts[name]:
            yield f"checkpoint {number}: {name} is {found}, was {facts[name]}"


def heads(text: str) -> dict[int, bytes]:
    """Hashes by number, of an earlier export or of a note `number:hash`."""
    if noted := re.fullmatch(r"([0-9]+):([0-9a-f]{64})", text):
        return {int(noted[1]): bytes.fromhex(noted[2])}
    return {number: digest for number, (_, digest) in enumerate(read_chain(Path(text)), 1)}


def faults(export: Path, earlier: dict[int, bytes]) -> Iterator[str]:
    """All that is wrong with an export."""
    chain = read_chain(export)
    yield from chain_faults(chain)
    for number, digest in sorted(earlier.items()):
        if number > len(chain):
            yield f"checkpoint {number} is gone"
        elif chain[number - 1][1] != digest:
            yield f"checkpoint {number} is not the one of the earlier export"
    checked = 0
    for body, _ in chain:
        facts = json.loads(body)
        file = export / f"rows-{facts['number']:06}.txt.gz"
        if file.exists():
            checked += 1
            yield from rows_faults(file, facts)
    sys.stdout.write(f"{len(chain)} checkpoints, the rows of {checked}")
    sys.stdout.write(f", {len(earlier)} compared\n" if earlier else "\n")


def main(arguments: list[str]) -> int:
    if len(arguments) not in (1, 2):
        sys.stderr.write((__doc__ or "").split("\n\n")[1] + "\n")
        return 2
    earlier = heads(arguments[0]) if len(arguments) == 2 else {}
    found = 0
    for fault in faults(Path(arguments[-1]), earlier):
        found += 1
        sys.stdout.write(f"WRONG: {fault}\n")
    sys.stdout.write("Nothing is wrong.\n" if not found else f"{found} things are wrong.\n")
    return int(found > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
