"""What admin pages of every app share: they only show, and stay fast on long tables."""

from typing import TYPE_CHECKING, Any, Final, override

from django.contrib import admin
from django.core.paginator import Paginator
from django.db import models
from django.http import HttpRequest
from django.utils.functional import cached_property

ROWS_COUNTED_MAX: Final = 10_000
"""Pages of the newest rows up to here; older ones are found by search."""


if TYPE_CHECKING:

    class TypedAdmin[M: models.Model](admin.ModelAdmin[M]):
        """Django's page of one model, which is generic for type checkers alone."""

    TypedPaginator = Paginator[Any]
else:
    TypedPaginator = Paginator

    class TypedAdmin[M: models.Model](admin.ModelAdmin):
        """Django's page of one model."""


class CappedPaginator(TypedPaginator):
    """Counts no further than a bound: a full count of a long table takes seconds."""

    @cached_property
    def count(self) -> int:
        assert isinstance(self.object_list, models.QuerySet)
        return self.object_list[: ROWS_COUNTED_MAX + 1].count()


class ReadOnlyAdmin[M: models.Model](TypedAdmin[M]):
    """A page that only shows."""

    list_per_page = 50
    show_full_result_count = False
    paginator = CappedPaginator
    actions = None
    ordering = ("-pk",)

    @override
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    @override
    def has_change_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return False

    @override
    def has_delete_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return False
