"""Limits, aliases and messages: saved and removed through their services."""

from typing import Any, override

from django.contrib import admin
from django.db import models, transaction
from django.db.models import QuerySet
from django.http import HttpRequest

from config.kit.errors import InvalidRequestError
from paywalls import aliases, limits, messages
from paywalls.admin.base import ServiceAdmin, actor, adopt
from paywalls.models import ApiKey, Limit, MessageTemplate, ModelAlias


class RemovableAdmin[M: models.Model](ServiceAdmin[M]):
    """What a paywall can do without: removing it is a change like any other."""

    fixed: tuple[str, ...] = ()

    @override
    def get_readonly_fields(self, request: HttpRequest, obj: M | None = None) -> tuple[str, ...]:
        return self.fixed if obj else ()

    @override
    def has_delete_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return admin.ModelAdmin.has_delete_permission(self, request, obj)

    def remove(self, row: M, who: str) -> None:
        raise NotImplementedError

    @override
    def delete_model(self, request: HttpRequest, obj: M) -> None:
        with transaction.atomic():
            self.remove(obj, actor(request))

    @override
    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[M]) -> None:
        with transaction.atomic():
            for row in queryset:
                self.remove(row, actor(request))


@admin.register(Limit)
class LimitAdmin(RemovableAdmin[Limit]):
    """Limits for each user, a key, or the paywall."""

    list_display = ("paywall", "subject", "target", "kind", "value")
    list_filter = ("subject", "kind")
    search_fields = ("paywall__name", "target")
    list_select_related = ("paywall",)
    raw_id_fields = ("paywall",)
    fields = ("paywall", "subject", "target", "kind", "value")
    fixed = ("paywall", "subject", "target", "kind")

    @override
    def save_model(self, request: HttpRequest, obj: Limit, form: Any, change: bool) -> None:
        self._set(obj, obj.value, actor(request))
        saved = Limit.objects.get(
            paywall=obj.paywall, subject=obj.subject, target=obj.target, kind=obj.kind
        )
        adopt(obj, saved)

    @override
    def remove(self, row: Limit, who: str) -> None:
        self._set(row, None, who)

    def _set(self, row: Limit, value: int | None, who: str) -> None:
        is_of_key = row.subject == Limit.Subject.KEY
        key = ApiKey.objects.filter(pk=row.target).first() if is_of_key and row.target else None
        if is_of_key and key is None:
            raise InvalidRequestError("There is no such key.", param="target")
        subject = Limit.Subject(row.subject)
        limits.set_limit(row.paywall, row.kind, value, subject=subject, key=key, actor=who)


@admin.register(ModelAlias)
class ModelAliasAdmin(RemovableAdmin[ModelAlias]):
    """A paywall's own names for models."""

    list_display = ("paywall", "alias", "target")
    list_filter = ("alias",)
    search_fields = ("paywall__name", "alias", "target")
    list_select_related = ("paywall",)
    raw_id_fields = ("paywall",)
    fixed = ("paywall", "alias")

    @override
    def save_model(self, request: HttpRequest, obj: ModelAlias, form: Any, change: bool) -> None:
        adopt(obj, aliases.set_alias(obj.paywall, obj.alias, obj.target, actor=actor(request)))

    @override
    def remove(self, row: ModelAlias, who: str) -> None:
        aliases.remove_alias(row.paywall, row.alias, actor=who)


@admin.register(MessageTemplate)
class MessageTemplateAdmin(RemovableAdmin[MessageTemplate]):
    """What the assistant says."""

    list_display = ("paywall", "event", "text")
    list_filter = ("event",)
    search_fields = ("paywall__name", "text")
    list_select_related = ("paywall",)
    raw_id_fields = ("paywall",)
    fixed = ("paywall", "event")

    @override
    def save_model(
        self, request: HttpRequest, obj: MessageTemplate, form: Any, change: bool
    ) -> None:
        adopt(obj, messages.set_message(obj.paywall, obj.event, obj.text, actor=actor(request)))

    @override
    def remove(self, row: MessageTemplate, who: str) -> None:
        messages.reset_message(row.paywall, row.event, actor=who)
