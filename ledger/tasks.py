"""The ledger's periodic work. A task is a hint: running twice or not at all changes no balance."""

from typing import Final

from celery import shared_task
from django.db import connection

LAG_S: Final = 600
"""Entries younger than this stay in the tail: longer than any statement may run."""


@shared_task(name="ledger.tasks.roll_up")
def roll_up() -> int:
    """Moves settled entries of accounts without a floor into their roll-ups."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT ledger_roll_up(%s)", [LAG_S])
        return int(cursor.fetchone()[0])
