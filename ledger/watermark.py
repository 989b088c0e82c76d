"""Up to where the journal is complete, although ids are given before they are committed."""

import time
from typing import Any, Final

from django.db import connection

WAIT_S: Final = 10.0
"""Longer than writers take; who writes for longer is waited for by the next run."""

POLL_S: Final = 0.02

LAST: Final = "SELECT coalesce(max(id), 0) FROM ledger_entry"

# Ids come from one sequence, and who draws one has locked the table for writing before, and until
# the end of its transaction. So whoever may still bring an entry below one that is visible holds
# that lock when it is looked for later.
WRITERS: Final = """
    SELECT virtualtransaction FROM pg_locks
    WHERE locktype = 'relation' AND relation = 'ledger_entry'::regclass AND granted
        AND mode = 'RowExclusiveLock'
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def complete_upto() -> int | None:
    """The id of an entry at or below which none will ever be added; 0 when there are none.

    Waits until everything that is being written at this moment is committed or rolled back; None
    when that takes longer than WAIT_S. Whatever snapshot is taken afterwards sees all of it. Locks
    nothing. Each statement here must see anew: no stricter isolation than READ COMMITTED.
    """
    gives_up = time.monotonic() + WAIT_S
    with connection.cursor() as cursor:
        cursor.execute(LAST)
        (upto,) = cursor.fetchone()
        older = _writers(cursor)
        while older & _writers(cursor):
            if time.monotonic() > gives_up:
                return None
            time.sleep(POLL_S)
    return int(upto)


def _writers(cursor: Any) -> set[str]:
    """The transactions that write entries at this moment."""
    cursor.execute(WRITERS)
    return {row[0] for row in cursor.fetchall()}
