"""Columns that hold sealed values, and how they come under the newest encryption key."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Model, QuerySet

from config.kit import crypto
from config.kit.db import require_transaction


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """A column, and the context that each row's value is bound to."""

    model: type[Model]
    name: str
    context: Callable[[Any], str]


def reseal(column: SealedColumn, keys: Sequence[bytes]) -> tuple[int, list[Model]]:
    """Put a column under the first of `keys`, in the caller's transaction.

    How many values were not, and the rows whose value does not open any more.
    """
    require_transaction()
    count, lost = 0, []
    rows = QuerySet[Any](column.model).select_for_update(no_key=True)
    for row in rows.exclude(**{column.name: None}):
        old = bytes(getattr(row, column.name))
        try:
            new = crypto.resealed(old, context=column.context(row), keys=keys)
        except crypto.SealError:
            lost.append(row)
            continue
        if new != old:
            count += rows.filter(pk=row.pk).update(**{column.name: new})
    return count, lost
