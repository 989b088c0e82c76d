"""What admin pages of every app share: they stay fast on long tables, show money as money and ids
as the API does, and say what to do where there is nothing yet.
"""

from typing import TYPE_CHECKING, Any, Final, override

from django.contrib import admin
from django.core.paginator import Paginator
from django.db import models
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.html import format_html

from config.kit import ids
from config.kit.money import format_nanos

ROWS_COUNTED_MAX: Final = 10_000
"""Pages of the newest rows up to here; older ones are found by search."""

EMPTY: Final = "-"
"""As Django shows what is not there."""


if TYPE_CHECKING:

    class TypedAdmin[M: models.Model](admin.ModelAdmin[M]):
        """Django's page of one model, which is generic for type checkers alone."""

    TypedPaginator = Paginator[Any]
else:
    TypedPaginator = Paginator

    class TypedAdmin[M: models.Model](admin.ModelAdmin):
        """Django's page of one model."""


def money(field: str, label: str) -> Any:
    """A column that shows a nanos field as money."""

    @admin.display(description=label, ordering=field)
    def column(_admin: object, row: models.Model) -> str:
        nanos = getattr(row, field)
        return EMPTY if nanos is None else format_nanos(nanos)

    return column


def public_id(field: str, prefix: str, label: str, *, page: str = "") -> Any:
    """A column that shows a UUID field as the API does; with a link where `page` names a model of
    the admin site, such as `billing_wallet`.
    """

    @admin.display(description=label, ordering=field)
    def column(_admin: object, row: models.Model) -> str:
        value = getattr(row, field)
        if value is None:
            return EMPTY
        text = ids.encode(prefix, value)
        if not page:
            return text
        return format_html(
            '<a href="{}">{}</a>', reverse(f"admin:{page}_change", args=[value]), text
        )

    return column


class CappedPaginator(TypedPaginator):
    """Counts no further than a bound: a full count of a long table takes seconds."""

    @cached_property
    def count(self) -> int:
        assert isinstance(self.object_list, models.QuerySet)
        return self.object_list[: ROWS_COUNTED_MAX + 1].count()


class BaseAdmin[M: models.Model](TypedAdmin[M]):
    """A page that stays fast. Where it only shows, a column `charged_` stands for the field
    `charged`.
    """

    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator = CappedPaginator
    when_empty = ""
    """What to do while the list is empty."""
    id_fields: tuple[str, ...] = ()
    """UUID fields in which the search looks for what is an id, in either form."""

    @override
    def get_fields(self, request: HttpRequest, obj: M | None = None) -> list[Any] | tuple[Any, ...]:
        shown = super().get_fields(request, obj)
        if self.has_change_permission(request, obj):
            return shown
        return [column if hasattr(self, column := f"{name}_") else name for name in shown]

    @override
    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[M], search_term: str
    ) -> tuple[models.QuerySet[M], bool]:
        value = ids.find(search_term.strip())
        if value is None or not self.id_fields:
            return super().get_search_results(request, queryset, search_term)
        found = models.Q()
        for field in self.id_fields:
            found |= models.Q(**{field: value})
        return queryset.filter(found), False


class ReadOnlyAdmin[M: models.Model](BaseAdmin[M]):
    """A page that only shows."""

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
