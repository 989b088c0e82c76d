"""The ledger to look at. Nothing here can be edited: corrections are new transactions."""

from typing import TYPE_CHECKING, Any, override

from django.contrib import admin
from django.db import models
from django.http import HttpRequest

from config.kit import ids
from config.kit.admin import ReadOnlyAdmin
from config.kit.money import format_nanos
from ledger.models import Account, Counter, Entry, Hold, Lot, Note, Transaction, Verification


def money(field: str, label: str) -> Any:
    """A column that shows a nanos field as money."""

    @admin.display(description=label, ordering=field)
    def column(_admin: object, row: models.Model) -> str:
        nanos = getattr(row, field)
        return "" if nanos is None else format_nanos(nanos)

    return column


class PublicIdSearch[M: models.Model](ReadOnlyAdmin[M]):
    """Finds rows by the ids that people see (`txn_…`) as well as by their UUID."""

    id_fields: tuple[str, ...] = ("pk",)
    search_help_text = "an id, as on the API or as a UUID"
    search_fields = ("pk",)

    @override
    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[M], search_term: str
    ) -> tuple[models.QuerySet[M], bool]:
        if not search_term:
            return queryset, False
        term = search_term.strip()
        value = ids.find(term)
        if value is None:
            return queryset.none(), False
        found = models.Q()
        for field in self.id_fields:
            found |= models.Q(**{field: value})
        return queryset.filter(found), False


@admin.register(Account)
class AccountAdmin(PublicIdSearch[Account]):
    """Where money can be."""

    list_display = ("id", "kind", "owner", "currency", "livemode", "posted_", "held_", "owed_")
    list_filter = ("kind", "livemode", "currency")
    id_fields = ("pk", "owner")
    posted_ = money("posted", "balance")
    held_ = money("held", "held")
    owed_ = money("owed", "owed")


if TYPE_CHECKING:

    class TypedInline(admin.TabularInline[Entry, Transaction]):
        """Django's inline, which is generic for type checkers alone."""
else:
    TypedInline = admin.TabularInline


class EntryInline(TypedInline):
    """Both sides of a transaction."""

    model = Entry
    extra = 0
    can_delete = False
    fields = ("account", "amount", "balance_after", "account_version", "created_at")
    readonly_fields = fields

    @override
    def has_add_permission(self, request: HttpRequest, obj: Transaction | None = None) -> bool:
        return False


@admin.register(Transaction)
class TransactionAdmin(PublicIdSearch[Transaction]):
    """Balanced movements, newest first."""

    list_display = ("id", "kind", "scope", "ref", "actor", "created_at")
    list_filter = ("kind",)
    id_fields = ("pk", "request_id")
    inlines = (EntryInline,)


@admin.register(Entry)
class EntryAdmin(PublicIdSearch[Entry]):
    """Single sides, newest first."""

    list_display = ("id", "transaction_id", "account_id", "amount_", "after_", "created_at")
    id_fields = ("transaction_id", "account_id")
    amount_ = money("amount", "amount")
    after_ = money("balance_after", "balance after")


@admin.register(Hold)
class HoldAdmin(PublicIdSearch[Hold]):
    """Money set aside, and how it ended."""

    list_display = ("id", "state", "amount_", "settled_", "lease_until", "created_at")
    list_filter = ("state",)
    id_fields = ("pk", "account_id", "transaction_id")
    amount_ = money("amount", "amount")
    settled_ = money("settled", "charged")


@admin.register(Lot)
class LotAdmin(PublicIdSearch[Lot]):
    """Trials, bonuses and credits that expire."""

    list_display = ("id", "kind", "account_id", "amount_", "remaining_", "expires_at")
    list_filter = ("kind",)
    id_fields = ("pk", "account_id")
    amount_ = money("amount", "amount")
    remaining_ = money("remaining", "remaining")


@admin.register(Counter)
class CounterAdmin(PublicIdSearch[Counter]):
    """What limits have counted."""

    list_display = ("id", "open", "day", "day_requests", "spent_", "month")
    spent_ = money("day_spent", "spent today")


@admin.register(Note)
class NoteAdmin(PublicIdSearch[Note]):
    """Reasons and metadata."""

    list_display = ("transaction_id", "reason")


@admin.register(Verification)
class VerificationAdmin(ReadOnlyAdmin[Verification]):
    """Runs of `ledger_verify`."""

    list_display = ("started_at", "ok", "finished_at")
    list_filter = ("ok",)
