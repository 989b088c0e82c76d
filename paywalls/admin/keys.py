"""Keys: made here, shown once, never edited."""

import datetime as dt
from typing import Any, ClassVar, Final, override

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from config.kit.errors import InvalidRequestError
from paywalls import keys, paywalls
from paywalls.admin.base import ServiceAdmin, actor, adopt
from paywalls.models import ApiKey

OVERLAP: Final = dt.timedelta(hours=24)


CHOSEN: Final = (
    "paywall",
    "name",
    "scopes",
    "allowed_models",
    "end_user",
    "expires_at",
    "error_mode",
    "idempotency_required",
)


class NewKeyForm(forms.ModelForm):  # type: ignore[type-arg]
    """The one moment at which a key's mode can be chosen."""

    is_test = forms.BooleanField(required=False, label="test", help_text="moves test wallets only")

    class Meta:
        model = ApiKey
        fields = CHOSEN
        help_texts: ClassVar[dict[str, str]] = {
            "scopes": f'a list such as ["chat"] of {", ".join(keys.SCOPES)}; empty allows all',
            "allowed_models": "ids or prefixes ending in *; empty allows all the paywall's",
            "end_user": "the key works for this user alone",
            "expires_at": "in UTC; empty: never",
            "idempotency_required": "a chat without an Idempotency-Key header is refused",
        }


@admin.register(ApiKey)
class ApiKeyAdmin(ServiceAdmin[ApiKey]):
    """A key is replaced or revoked, never changed."""

    form = NewKeyForm
    list_display = (
        "name",
        "last_four",
        "livemode",
        "paywall",
        "created_at",
        "last_used_at",
        "expires_at",
        "revoked_at",
    )
    list_filter = ("livemode", ("revoked_at", admin.EmptyFieldListFilter))
    search_fields = ("name", "last_four", "paywall__name")
    when_empty = "Add a key for each app and server; it is shown once."
    list_select_related = ("paywall",)
    ordering = ("-id",)
    raw_id_fields = ("paywall", "end_user")
    actions = ("revoke", "rotate")
    made = (
        "id",
        "livemode",
        "last_four",
        "revoked_at",
        "replaced_by",
        "last_used_at",
        "created_at",
    )

    @override
    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> tuple[str, ...]:
        return (*CHOSEN, *self.made) if obj else (*CHOSEN, "is_test")

    @override
    def has_change_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        return obj is None and super().has_change_permission(request)

    @override
    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        assert not change, "keys are never edited"
        options = keys.KeyOptions(
            name=obj.name,
            livemode=not form.cleaned_data["is_test"],
            scopes=_words(obj.scopes, "scopes"),
            allowed_models=paywalls.read_models(_words(obj.allowed_models, "allowed_models")),
            end_user=obj.end_user,
            expires_at=obj.expires_at,
            error_mode=obj.error_mode,
            idempotency_required=obj.idempotency_required,
        )
        key, text = keys.mint(obj.paywall, options, actor=actor(request))
        adopt(obj, key)
        self._show(request, text)

    @admin.action(description="Revoke for good", permissions=["act"])
    def revoke(self, request: HttpRequest, rows: QuerySet[ApiKey]) -> None:
        chosen = rows.select_related("paywall")
        self.do_for_each(request, chosen, lambda row: keys.revoke(row, actor=actor(request)))

    @admin.action(
        description="Rotate: make a successor; the old one ends in 24 hours", permissions=["act"]
    )
    def rotate(self, request: HttpRequest, rows: QuerySet[ApiKey]) -> None:
        shown: list[str] = []

        def replace(row: ApiKey) -> None:
            shown.append(keys.rotate(row, overlap=OVERLAP, actor=actor(request))[1])

        self.do_for_each(request, rows.select_related("paywall"), replace)
        for text in shown:
            self._show(request, text)

    def _show(self, request: HttpRequest, text: str) -> None:
        self.message_user(request, f"The key, shown only now: {text}", messages.WARNING)


def _words(value: object, param: str) -> list[str]:
    """A JSON list of texts.

    Raises: InvalidRequestError.
    """
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise InvalidRequestError(f'{param} is a list such as ["chat"].', param=param)
    return value
