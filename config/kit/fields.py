"""Model fields."""

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from django.db import models

SUM_DIGITS: Final = 38

if TYPE_CHECKING:
    TypedField = models.DecimalField[int, int]
else:
    TypedField = models.DecimalField


class SumField(TypedField):
    """Whole nanos of any number of rows: `numeric(38, 0)`, an int in Python.

    A bigint ends at nine billion units, which the sum of many amounts can pass; the statement that
    adds up everybody's would then fail because of one.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "max_digits": SUM_DIGITS, "decimal_places": 0})

    def from_db_value(self, value: Decimal | None, *_context: object) -> int | None:
        return None if value is None else int(value)
