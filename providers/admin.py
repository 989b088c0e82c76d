"""Connections and the catalogue for staff. Keys are entered and never shown."""

from dataclasses import fields
from typing import Any, ClassVar, override

from django import forms
from django.contrib import admin, messages
from django.db import models, transaction
from django.http import HttpRequest

from config.kit.money import AMOUNT_NANOS_MAX
from paywalls.admin.base import ServiceAdmin, actor, adopt
from paywalls.pricing import Rates
from providers import connections
from providers.models import Connection, Model

COSTS = tuple(field.name for field in fields(Rates) if field.name != "markup_bps")
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
        help_texts: ClassVar[dict[str, str]] = {
            "base_url": "up to and with /v1; empty: the provider's own",
            "position": "the lowest that has a model serves it, the next are fallbacks",
            "settlement": "who pays when a request fails; empty: the usual",
            "timeouts": 'in seconds, such as {"idle_s": 30}; empty: the usual',
        }


@admin.register(Connection)
class ConnectionAdmin(ServiceAdmin[Connection]):
    """Saved provider keys, in their owner's order."""

    form = ConnectionForm
    list_display = ("name", "kind", "is_active", "trouble", "key_last_four", "position", "paywall")
    list_filter = ("kind", "is_active", ("trouble", admin.EmptyFieldListFilter))
    search_fields = ("name", "base_url", "paywall__name")
    when_empty = "Add a connection: which provider, and its key. Then choose the action Test."
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


class CatalogueForm(forms.ModelForm):  # type: ignore[type-arg]
    """A model with a cost that can be computed with."""

    class Meta:
        model = Model
        fields = (
            "kind",
            "connection",
            "name",
            "display_name",
            "description",
            "context_tokens",
            "output_tokens_max",
            "cost",
            "source",
            "as_of",
            "is_active",
        )
        help_texts: ClassVar[dict[str, str]] = {
            "connection": "empty: for everyone who connects this kind of provider",
            "cost": "nanos of a US dollar for a million tokens, or each: 1000000000 is 1 USD",
        }

    def clean_cost(self) -> object:
        cost: object = self.cleaned_data["cost"]
        is_read = isinstance(cost, dict) and all(
            name in COSTS and type(nanos) is int and 0 <= nanos <= AMOUNT_NANOS_MAX
            for name, nanos in cost.items()
        )
        if cost is not None and not is_read:
            raise forms.ValidationError(f"An object of whole nanos: {', '.join(COSTS)}.")
        return cost


@admin.register(Model)
class ModelAdmin(ServiceAdmin[Model]):
    """The catalogue: what models cost, and where that figure comes from."""

    form = CatalogueForm
    list_display = ("name", "kind", "connection", "context_tokens", "source", "as_of", "is_active")
    list_filter = ("kind", "source", "is_active")
    search_fields = ("name", "display_name")
    when_empty = "Run manage.py sync_models to fill the catalogue from the price book."
    list_select_related = ("connection",)
    raw_id_fields = ("connection",)

    @override
    def save_model(self, request: HttpRequest, obj: Model, form: Any, change: bool) -> None:
        with transaction.atomic():
            super().save_model(request, obj, form, change)
