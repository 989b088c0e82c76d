"""Where database transactions must be open, and where they must not.

Together the two make "network inside a transaction" and "money outside one" impossible to merge.
"""

from django.db import connection


def require_transaction() -> None:
    """The caller has opened a transaction: what is written here stands or falls with the rest."""
    assert connection.in_atomic_block, "open transaction.atomic() in the entry point"


def forbid_transaction() -> None:
    """No transaction is open: what happens here can take long and cannot be rolled back."""
    assert not connection.in_atomic_block, "leave transaction.atomic() before doing this"
