"""Connections and the catalogue for staff. Keys are entered and never shown."""

from typing import Any, override

from django import forms
from django.contrib import admin, messages
from django.db import models, transaction
from django.http import HttpRequest

from paywalls.admin.base import ServiceAdmin, actor, adopt
from providers import connections
from providers.models import Connection, Model

CHANGEABLE = ("name", "base_url", "position", "is_active", "settlement", "timeouts")


class ConnectionForm(forms.ModelForm):  # type: ignore[type-arg]
    """A connection, with a key that can be set and not read."""

    key = forms.CharField(
        required=False,
        widget=forms.PasswordInput,
        help_text="the provider's API key; leave it empty to keep the one that is stored",
    )

    class Meta:
        model = Connection
        fields = ("paywall", "kind", *CHANGEABLE)


@admin.register(Connection)
class ConnectionAdmin(ServiceAdmin[Connection]):
    """Saved provider keys, in their owner's order."""

    form = ConnectionForm
    list_display = ("name", "kind", "paywall", "position", "is_active", "key_last_four", "trouble")
    list_filter = ("kind", "is_active", ("trouble", admin.EmptyFieldListFilter))
    search_fields = ("name", "base_url", "paywall__name")
    list_select_related = ("paywall",)
    raw_id_fields = ("paywall",)
    actions = ("test",)

    @override
    def get_readonly_fields(
        self, request: HttpRequest, obj: Connection | None = None
    ) -> tuple[str, ...]:
        return ("paywall", "kind", "key_last_four", "trouble") if obj else ()

    @override
    def save_model(self, request: HttpRequest, obj: Connection, form: Any, change: bool) -> None:
        key = form.cleaned_data["key"]
        if change:
            saved = Connection.objects.get(pk=obj.pk)
            changes = {name: form.cleaned_data[name] for name in CHANGEABLE}
            connections.update(saved, changes, actor=actor(request))
            if key:
                connections.rotate(saved, key, actor=actor(request))
        else:
            draft = connections.Draft(
                kind=obj.kind,
                name=obj.name,
                base_url=obj.base_url,
                key=key,
                position=obj.position,
                settlement=obj.settlement or {},
                timeouts=obj.timeouts or {},
            )
            saved = connections.create(obj.paywall, draft, actor=actor(request))
        adopt(obj, saved)

    @admin.action(description="Test: ask the provider for its models", permissions=["act"])
    def test(self, request: HttpRequest, rows: models.QuerySet[Connection]) -> None:
        for row in rows:
            outcome = connections.test(row)
            level = messages.SUCCESS if outcome.ok else messages.ERROR
            self.message_user(request, f"{row.name}: {outcome.message}", level)


@admin.register(Model)
class ModelAdmin(ServiceAdmin[Model]):
    """The catalogue: what models cost, and where that figure comes from."""

    list_display = ("name", "kind", "connection", "context_tokens", "source", "as_of", "is_active")
    list_filter = ("kind", "source", "is_active")
    search_fields = ("name", "display_name")
    list_select_related = ("connection",)
    raw_id_fields = ("connection",)

    @override
    def save_model(self, request: HttpRequest, obj: Model, form: Any, change: bool) -> None:
        with transaction.atomic():
            super().save_model(request, obj, form, change)
