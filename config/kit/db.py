"""How connections notice a dead server; where transactions must be open, and where they must not.

Together the two make "network inside a transaction" and "money outside one" impossible to merge.
"""

from typing import Any, Final

from django.db import connection

KEEPALIVE: Final[dict[str, Any]] = {
    "connect_timeout": 5,
    "keepalives_idle": 3,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "tcp_user_timeout": 8_000,
}
"""Of every connection to PostgreSQL, in libpq's words and units: a server that vanished without a
word is noticed well within a hold's lease."""


def require_transaction() -> None:
    """The caller has opened a transaction: what is written here stands or falls with the rest."""
    assert connection.in_atomic_block, "open transaction.atomic() in the entry point"


def forbid_transaction() -> None:
    """No transaction is open: what happens here can take long and cannot be rolled back."""
    assert not connection.in_atomic_block, "leave transaction.atomic() before doing this"
