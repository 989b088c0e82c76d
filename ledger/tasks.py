"""The ledger's periodic work. A task is a hint: running twice or not at all changes no balance."""

from typing import Final

import structlog
from celery import shared_task
from django.db import connection

from ledger import chain

log = structlog.get_logger(__name__)

CHECKPOINTS_MAX: Final = 20
"""In one run; the next goes on from there."""

LAG_S: Final = 600
"""Entries younger than this stay in the tail: longer than any statement may run."""


@shared_task(name="ledger.tasks.roll_up")
def roll_up() -> int:
    """Moves settled entries of accounts without a floor into their roll-ups."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT ledger_roll_up(%s)", [LAG_S])
        return int(cursor.fetchone()[0])


@shared_task(name="ledger.tasks.make_checkpoints")
def make_checkpoints() -> list[str]:
    """Appends the day's checkpoints to the chain; the log has each `number:hash` a second time."""
    made: list[str] = []
    while len(made) < CHECKPOINTS_MAX and (checkpoint := chain.make_checkpoint()):
        made.append(str(checkpoint))
        log.info("ledger.checkpoint", head=str(checkpoint))
    return made
