"""The ledger to look at. Nothing here can be edited: corrections are new transactions."""

from typing import TYPE_CHECKING, override

from django.contrib import admin
from django.db import models
from django.http import HttpRequest
from django.utils.html import format_html

from config.kit import ids
from config.kit.admin import EMPTY, ReadOnlyAdmin, money, public_id
from ledger.models import (
    Account,
    Checkpoint,
    Counter,
    Entry,
    Hold,
    Lot,
    Note,
    Transaction,
    Verification,
)


class PublicIdSearch[M: models.Model](ReadOnlyAdmin[M]):
    """Long tables, searched by id alone: as on the API (`txn_…`) or as a UUID."""

    id_fields: tuple[str, ...] = ("pk",)
    search_help_text = "an id, as on the API or as a UUID"
    search_fields = ("pk",)

    @override
    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[M], search_term: str
    ) -> tuple[models.QuerySet[M], bool]:
        if search_term and ids.find(search_term.strip()) is None:
            return queryset.none(), False
        return super().get_search_results(request, queryset, search_term)


@admin.register(Account)
class AccountAdmin(PublicIdSearch[Account]):
    """Where money can be."""

    list_display = ("id_", "kind", "currency", "posted_", "held_", "owed_", "livemode", "owner")
    list_filter = ("kind", "livemode", "currency")
    id_fields = ("pk", "owner")
    id_ = public_id("id", "wal", "id")
    posted_ = money("posted", "balance")
    held_ = money("held", "held")
    owed_ = money("owed", "owed")
    floor_ = money("floor", "floor")


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
    fields = ("account", "amount_", "after_", "account_version", "created_at")
    readonly_fields = fields
    amount_ = money("amount", "amount")
    after_ = money("balance_after", "balance after")

    @override
    def has_add_permission(self, request: HttpRequest, obj: Transaction | None = None) -> bool:
        return False


@admin.register(Transaction)
class TransactionAdmin(PublicIdSearch[Transaction]):
    """Balanced movements, newest first."""

    list_display = ("id_", "kind", "actor", "created_at", "scope", "ref")
    list_filter = ("kind",)
    id_fields = ("pk", "request_id")
    exclude = ("fingerprint",)
    id_ = public_id("id", "txn", "id")
    request_id_ = public_id("request_id", "req", "request")
    inlines = (EntryInline,)


@admin.register(Entry)
class EntryAdmin(PublicIdSearch[Entry]):
    """Single sides, newest first."""

    list_display = ("id", "transaction_", "account_", "amount_", "balance_after_", "created_at")
    id_fields = ("transaction_id", "account_id")
    transaction_ = public_id("transaction_id", "txn", "transaction", page="ledger_transaction")
    account_ = public_id("account_id", "wal", "account", page="ledger_account")
    amount_ = money("amount", "amount")
    balance_after_ = money("balance_after", "balance after")


@admin.register(Hold)
class HoldAdmin(PublicIdSearch[Hold]):
    """Money set aside, and how it ended."""

    list_display = ("id_", "state", "amount_", "settled_", "lease_until", "created_at")
    list_filter = ("state",)
    id_fields = ("pk", "account_id", "transaction_id")
    id_ = public_id("id", "req", "request")
    account_ = public_id("account_id", "wal", "account", page="ledger_account")
    transaction_ = public_id("transaction_id", "txn", "transaction", page="ledger_transaction")
    amount_ = money("amount", "amount")
    settled_ = money("settled", "charged")


@admin.register(Lot)
class LotAdmin(PublicIdSearch[Lot]):
    """Trials, bonuses and credits that expire."""

    list_display = ("id_", "kind", "account_", "amount_", "remaining_", "expires_at")
    list_filter = ("kind",)
    id_fields = ("pk", "account_id")
    id_ = public_id("id", "lot", "id")
    account_ = public_id("account_id", "wal", "account", page="ledger_account")
    transaction_ = public_id("transaction_id", "txn", "transaction", page="ledger_transaction")
    amount_ = money("amount", "amount")
    remaining_ = money("remaining", "remaining")
    held_ = money("held", "held")


@admin.register(Counter)
class CounterAdmin(PublicIdSearch[Counter]):
    """What limits have counted."""

    list_display = ("id", "open", "day", "day_requests", "day_spent_", "month", "month_spent_")
    when_empty = "Counting starts with the first limit: add one under Paywalls, Limits."
    day_spent_ = money("day_spent", "spent that day")
    month_spent_ = money("month_spent", "spent that month")


@admin.register(Note)
class NoteAdmin(PublicIdSearch[Note]):
    """Reasons and metadata."""

    list_display = ("transaction_", "reason")
    transaction_ = public_id("transaction_id", "txn", "transaction")


@admin.register(Verification)
class VerificationAdmin(ReadOnlyAdmin[Verification]):
    """Runs of `ledger_verify`."""

    list_display = ("started_at", "scope_", "ok", "broken_", "seconds_")
    list_filter = (("upto", admin.EmptyFieldListFilter), "ok")
    when_empty = (
        "What is new is checked every minute, everything every night, and by manage.py"
        " ledger_verify at any time."
    )
    fields = ("started_at", "scope_", "ok", "results_", "seconds_", "upto")

    @admin.display(description="what was checked")
    def scope_(self, run: Verification) -> str:
        return "everything" if run.upto is None else "what was new"

    @admin.display(description="broken")
    def broken_(self, run: Verification) -> str:
        return ", ".join(f"{number}: {rows}" for number, rows, *_ in run.results if rows) or EMPTY

    @admin.display(description="results")
    def results_(self, run: Verification) -> str:
        lines = (
            f"{number}: {f'BROKEN {rows}' if rows else 'ok'} {' '.join(examples)}"
            for number, rows, *examples in run.results
        )
        return format_html("<pre>{}</pre>", "\n".join(lines))

    @admin.display(description="seconds")
    def seconds_(self, run: Verification) -> str:
        return f"{(run.finished_at - run.started_at).total_seconds():.2f}"


@admin.register(Checkpoint)
class CheckpointAdmin(ReadOnlyAdmin[Checkpoint]):
    """The chain over the journal."""

    list_display = ("number", "created_at", "upto", "hash_")
    when_empty = "The worker appends to the chain every night, and manage.py ledger_checkpoint."
    fields = ("number", "created_at", "upto", "hash_", "body")

    @admin.display(description="hash")
    def hash_(self, checkpoint: Checkpoint) -> str:
        return bytes(checkpoint.hash).hex()
