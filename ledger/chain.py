"""The chain of checkpoints over the journal, by which people outside notice what no query sees: a
balanced transaction that was taken away together with all its effects (I18).

A checkpoint covers the transactions whose first entry lies in its window of entry ids. Windows end
where the journal is complete, so nothing is ever added to one. The lines, their digest and the hash
are defined in `outside_verify`, which needs nothing of us.
"""

import gzip
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from django.db import connection

from config.kit import clock
from ledger.models import Checkpoint
from ledger.outside_verify import Window, chain_faults, read_chain
from ledger.watermark import complete_upto

ENTRIES_MAX: Final = 1_000_000
"""In one checkpoint; more make several, so that each is bounded work."""

CHUNK: Final = 20_000
"""Entries that are read, joined and sorted at a time."""

# Opaque columns only: references, actors and notes may name somebody and be erased one day.
# Written so that every plan is by index: the planner would rather read the whole journal a chunk.
LINES: Final = """
    COPY (
        SELECT legs.first || ' ' || n.id || ' ' || coalesce(t.kind, '-')
            || ' ' || coalesce(t.request_id::text, '-') || ' ' || coalesce(t.reverses_id::text, '-')
            || ' ' || coalesce((extract(epoch FROM t.occurred_at) * 1000000)::bigint, 0)
            || ' ' || coalesce((extract(epoch FROM t.created_at) * 1000000)::bigint, 0)
            || legs.text
        FROM (
            SELECT DISTINCT transaction_id AS id FROM ledger_entry
            WHERE id > %(after)s AND id <= %(upto)s
        ) n
        CROSS JOIN LATERAL (
            SELECT min(e.id) AS first, string_agg(' ' || e.id || ':' || e.account_id
                || ':' || coalesce(a.kind, '-') || ':' || coalesce(a.currency, '-')
                || ':' || CASE WHEN a.livemode THEN 'live' ELSE 'test' END || ':' || e.amount
                || ':' || coalesce(e.balance_after::text, '-')
                || ':' || coalesce(e.account_version::text, '-'), '' ORDER BY e.id) AS text
            FROM ledger_entry e LEFT JOIN ledger_account a ON a.id = e.account_id
            WHERE e.transaction_id = n.id
        ) legs
        LEFT JOIN LATERAL (SELECT * FROM ledger_transaction WHERE id = n.id OFFSET 0) t ON true
        WHERE legs.first > %(after)s ORDER BY legs.first
    ) TO STDOUT
"""
GUARDS: Final = """
    SELECT 'trigger ' || needed.name || ' is off' FROM (VALUES
        ('entry_balanced'), ('entry_kept'), ('entry_not_truncated'), ('transaction_kept'),
        ('transaction_not_truncated'), ('hold_kept'), ('hold_not_truncated'), ('hold_ends_once'),
        ('account_kept'), ('account_not_truncated'), ('checkpoint_kept'),
        ('checkpoint_not_truncated')
    ) AS needed (name)
    WHERE NOT EXISTS (
        SELECT FROM pg_trigger WHERE tgname = needed.name AND tgenabled IN ('O', 'A'))
"""


def lines(cursor: Any, after: int, upto: int) -> Iterator[bytes]:
    """A line for each transaction that began in the window, in bounded memory."""
    for start in range(after, upto, CHUNK):
        window = {"after": start, "upto": min(start + CHUNK, upto)}
        with cursor.copy(LINES, window) as copy:
            yield from map(bytes, copy)


def make_checkpoint() -> Checkpoint | None:
    """Appends the next checkpoint; None when there is nothing new, or a writer takes too long.

    Raises: OperationalError when somebody else appends one at the same time.
    """
    last = Checkpoint.objects.order_by("-number").first()
    number, after = (last.number + 1, last.upto) if last else (1, 0)
    upto = min(complete_upto() or 0, after + ENTRIES_MAX)
    if upto <= after:
        return None
    with connection.cursor() as cursor:
        append(cursor, number, after, upto)
    return Checkpoint.objects.get(number=number)


def append(cursor: Any, number: int, after: int, upto: int) -> None:
    """Computes and writes one checkpoint, the next one."""
    window = Window(after)
    for line in lines(cursor, after, upto):
        window.add(line)
    facts = {"number": number, "after": after, "upto": upto, "made_at": clock.wire(clock.now())}
    cursor.execute("SELECT ledger_checkpoint_add(%s)", [json.dumps(facts | window.facts())])


def broken(cursor: Any, *, deep: bool) -> Iterator[str]:
    """What is wrong with the guards of the journal, the chain and, deep, every row below it."""
    cursor.execute(GUARDS)
    yield from [row[0] for row in cursor.fetchall()]
    cursor.execute("SELECT body, hash FROM ledger_checkpoint ORDER BY number")
    chain = [(body, bytes(digest)) for body, digest in cursor.fetchall()]
    yield from chain_faults(chain)
    for facts in (json.loads(body) for body, _ in chain if deep):
        found = hashlib.sha256()
        for line in lines(cursor, facts["after"], facts["upto"]):
            found.update(line)
        if found.hexdigest() != facts["digest"]:
            yield f"checkpoint {facts['number']}: transactions were changed, added or taken away"


def export(cursor: Any, folder: Path, *, since: int = 0) -> list[tuple[str, bytes]]:
    """Writes the chain, and the rows of the checkpoints after number `since`, as they are now.

    folder: new or empty. Runs in one snapshot, the caller's. Returns the chain.
    """
    folder.mkdir(parents=True, exist_ok=True)
    cursor.execute("SELECT body, encode(hash, 'hex') FROM ledger_checkpoint ORDER BY number")
    rows = cursor.fetchall()
    chain = "".join(json.dumps({"body": body, "hash": digest}) + "\n" for body, digest in rows)
    (folder / "chain.jsonl").write_text(chain, "ascii")
    for facts in (json.loads(body) for body, _ in rows):
        if facts["number"] > since:
            with gzip.open(folder / f"rows-{facts['number']:06}.txt.gz", "wb", 6) as file:
                file.writelines(lines(cursor, facts["after"], facts["upto"]))
    return read_chain(folder)
