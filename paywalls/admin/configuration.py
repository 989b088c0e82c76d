"""Limits, aliases and messages: saved and removed through their services."""

from typing import Any, override
from uuid import UUID

from django import forms
from django.contrib import admin
from django.db import models, transaction
from django.db.models import QuerySet
from django.http import HttpRequest

from config.kit import ids
from config.kit.admin import public_id
from config.kit.commands import read_amount, read_count
from config.kit.errors import InvalidRequestError
from config.kit.money import format_nanos
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


class LimitForm(forms.ModelForm):  # type: ignore[type-arg]
    """Spending is entered as money, the rest as counts; the key by its id."""

    target = forms.CharField(required=False, help_text="for one key: its id, key_…")
    value = forms.CharField(help_text="a whole number; for spending an amount such as 12.50")

    class Meta:
        model = Limit
        fields = ("paywall", "subject", "target", "kind", "value")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.kind in limits.MONEY_KINDS:
            self.initial["value"] = format_nanos(self.instance.value)

    def clean_target(self) -> UUID | None:
        text = self.cleaned_data["target"].strip()
        target = ids.find(text) if text else None
        if text and target is None:
            raise forms.ValidationError("There is no such key.")
        return target

    def clean_value(self) -> int:
        kind = self.cleaned_data.get("kind", self.instance.kind)
        read = read_amount if kind in limits.MONEY_KINDS else read_count
        try:
            return read(self.cleaned_data["value"].strip(), param="value")
        except InvalidRequestError as error:
            raise forms.ValidationError(error.message) from error


@admin.register(Limit)
class LimitAdmin(RemovableAdmin[Limit]):
    """Limits for each user, a key, or the paywall."""

    form = LimitForm
    list_display = ("paywall", "subject", "target_", "kind", "value_")
    list_filter = ("subject", "kind")
    search_fields = ("paywall__name",)
    id_fields = ("pk", "target")
    when_empty = "Nothing is limited but by balances. Add limits for users, a key or the paywall."
    list_select_related = ("paywall",)
    raw_id_fields = ("paywall",)
    fields = ("paywall", "subject", "target", "kind", "value")
    fixed = ("paywall", "subject", "target", "kind")
    target_ = public_id("target", "key", "key")

    @admin.display(description="value", ordering="value")
    def value_(self, row: Limit) -> str:
        is_money = row.kind in limits.MONEY_KINDS
        return f"{format_nanos(row.value)} {row.paywall.currency}" if is_money else str(row.value)

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
    when_empty = "An alias such as fast stands for a model such as openai/gpt-5-mini."
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
    when_empty = "The built-in texts are used. Add your own; {{url}} and {{name}} are filled in."
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
