"""Paywalls, their end users, and the audit trail."""

from typing import Any, override

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from paywalls import paywalls, users
from paywalls.admin.base import ReadOnlyAdmin, ServiceAdmin, actor, adopt
from paywalls.models import Change, EndUser, Paywall


@admin.register(Paywall)
class PaywallAdmin(ServiceAdmin[Paywall]):
    """Mode and currency are chosen once; a paywall that is done with is archived."""

    list_display = ("name", "state", "public_id", "team", "currency", "livemode", "mode", "version")
    list_filter = ("mode", "livemode", "graceful", "currency")
    search_fields = ("name", "team__name")
    when_empty = (
        "Add a paywall, then a connection to a provider, prices (manage.py set_price), a key."
    )
    list_select_related = ("team",)
    raw_id_fields = ("team",)
    actions = ("pause", "resume", "archive")
    fields = (
        "team",
        "name",
        "description",
        "mode",
        "currency",
        "livemode",
        "timezone",
        "allowed_models",
        "graceful",
        "store_answers",
        "public_id",
        "state",
        "version",
        "created_at",
    )
    fixed = ("public_id", "state", "version", "created_at")

    @override
    def get_readonly_fields(
        self, request: HttpRequest, obj: Paywall | None = None
    ) -> tuple[str, ...]:
        return (*self.fixed, "team", "mode", "currency") if obj else self.fixed

    @override
    def get_fields(
        self, request: HttpRequest, obj: Paywall | None = None
    ) -> list[Any] | tuple[Any, ...]:
        fields = super().get_fields(request, obj)
        return fields if obj else [name for name in fields if name not in self.fixed]

    @admin.display(description="state")
    def state(self, obj: Paywall) -> str:
        if obj.archived_at:
            return "archived"
        return "paused" if obj.paused_at else "active"

    @override
    def save_model(self, request: HttpRequest, obj: Paywall, form: Any, change: bool) -> None:
        settings = paywalls.Settings(
            name=obj.name,
            description=obj.description,
            livemode=obj.livemode,
            timezone=obj.timezone,
            allowed_models=obj.allowed_models,
            graceful=obj.graceful,
            store_answers=obj.store_answers,
        )
        if change:
            adopt(obj, paywalls.change(obj, settings, actor=actor(request)))
            return
        made = paywalls.create(
            obj.team,
            name=obj.name,
            mode=obj.mode,
            currency=obj.currency,
            settings=settings,
            actor=actor(request),
        )
        adopt(obj, made)

    @admin.action(description="Pause: refuse every call", permissions=["act"])
    def pause(self, request: HttpRequest, rows: QuerySet[Paywall]) -> None:
        self.do_for_each(request, rows, lambda row: paywalls.pause(row, actor=actor(request)))

    @admin.action(description="Resume", permissions=["act"])
    def resume(self, request: HttpRequest, rows: QuerySet[Paywall]) -> None:
        self.do_for_each(request, rows, lambda row: paywalls.resume(row, actor=actor(request)))

    @admin.action(description="Archive for good", permissions=["act"])
    def archive(self, request: HttpRequest, rows: QuerySet[Paywall]) -> None:
        self.do_for_each(request, rows, lambda row: paywalls.archive(row, actor=actor(request)))


@admin.register(EndUser)
class EndUserAdmin(ReadOnlyAdmin[EndUser]):
    """Made by the money calls; blocked here. Money moves on the pages of the books."""

    list_display = ("external_id", "id", "paywall", "livemode", "blocked_at", "created_at")
    list_filter = ("livemode", ("blocked_at", admin.EmptyFieldListFilter))
    search_fields = ("external_id__startswith",)
    search_help_text = "the beginning of your id for the user, or usr_…"
    when_empty = "A user's first request, deposit or balance makes the user."
    list_select_related = ("paywall",)
    ordering = ("-id",)
    actions = ("block", "unblock")

    @admin.action(description="Block: refuse every call", permissions=["act"])
    def block(self, request: HttpRequest, rows: QuerySet[EndUser]) -> None:
        chosen = rows.select_related("paywall")
        self.do_for_each(request, chosen, lambda row: users.block(row, actor=actor(request)))

    @admin.action(description="Unblock", permissions=["act"])
    def unblock(self, request: HttpRequest, rows: QuerySet[EndUser]) -> None:
        chosen = rows.select_related("paywall")
        self.do_for_each(request, chosen, lambda row: users.unblock(row, actor=actor(request)))


@admin.register(Change)
class ChangeAdmin(ReadOnlyAdmin[Change]):
    """Who changed what, when."""

    list_display = ("created_at", "paywall", "version", "action", "subject", "actor")
    list_filter = ("action",)
    search_fields = ("subject", "actor", "paywall__name")
    id_fields = ()
    list_select_related = ("paywall",)
    ordering = ("-id",)
