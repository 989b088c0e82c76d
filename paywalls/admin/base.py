"""What our admin pages share: changes are audited, refusals stand in the form, no deleting."""

from collections.abc import Callable
from typing import Any, ClassVar, override

from django import forms
from django.contrib import messages
from django.contrib.admin.widgets import AdminTextareaWidget
from django.contrib.auth import get_permission_codename
from django.db import models, transaction
from django.http import HttpRequest, HttpResponse

from config.kit import ids
from config.kit.admin import BaseAdmin
from config.kit.errors import PaywallsError


def actor(request: HttpRequest) -> str:
    """Who is at work, for the audit trail."""
    assert request.user.is_authenticated, "the admin site is for staff"
    return ids.encode("dev", request.user.pk)


def adopt(shown: models.Model, saved: models.Model) -> None:
    """Let the form's object stand for the row that a service has written."""
    shown.__dict__.update(saved.__dict__)


class ServiceAdmin[M: models.Model](BaseAdmin[M]):
    """A page whose changes go through the services, and which shows their refusals."""

    id_fields: tuple[str, ...] = ("pk",)
    formfield_overrides: ClassVar[dict[Any, Any]] = {
        models.JSONField: {"widget": AdminTextareaWidget(attrs={"rows": 3})}
    }

    @override
    def has_delete_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return False

    @override
    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except PaywallsError as error:
            # Once more, with what was entered and with the refusal above it.
            request.refusal = error.message  # type: ignore[attr-defined]
            return super().changeform_view(request, object_id, form_url, extra_context)

    @override
    def get_form(
        self, request: HttpRequest, obj: M | None = None, change: bool = False, **kwargs: Any
    ) -> "type[forms.ModelForm[M]]":
        form = super().get_form(request, obj, change, **kwargs)
        refusal = getattr(request, "refusal", None)
        if refusal is None:
            return form

        def clean(_form: object) -> None:
            raise forms.ValidationError(refusal)

        return type(form.__name__, (form,), {"clean": clean})

    def may_change(self, request: HttpRequest) -> bool:
        """Whether this member of staff may act, also where a row has no form."""
        permission = get_permission_codename("change", self.opts)
        return request.user.has_perm(f"{self.opts.app_label}.{permission}")

    # What `permissions=["act"]` of an action asks.
    has_act_permission = may_change

    def do_for_each(
        self, request: HttpRequest, rows: models.QuerySet[M], do: Callable[[M], object]
    ) -> None:
        """Do something to each chosen row, in one transaction; a refusal undoes all."""
        try:
            with transaction.atomic():
                for row in rows:
                    do(row)
        except PaywallsError as error:
            self.message_user(request, error.message, messages.ERROR)
        else:
            self.message_user(request, "Done.", messages.SUCCESS)


class ReadOnlyAdmin[M: models.Model](ServiceAdmin[M]):
    """A page that only shows."""

    @override
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    @override
    def has_change_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return False
