"""What our admin pages share: changes are audited, refusals are messages, nothing is deleted."""

from collections.abc import Callable
from typing import Any, override

from django.contrib import messages
from django.contrib.auth import get_permission_codename
from django.db import models, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from config.kit import ids
from config.kit.admin import CappedPaginator, TypedAdmin
from config.kit.errors import PaywallsError


def actor(request: HttpRequest) -> str:
    """Who is at work, for the audit trail."""
    assert request.user.is_authenticated, "the admin site is for staff"
    return ids.encode("dev", request.user.pk)


def adopt(shown: models.Model, saved: models.Model) -> None:
    """Let the form's object stand for the row that a service has written."""
    shown.__dict__.update(saved.__dict__)


class ServiceAdmin[M: models.Model](TypedAdmin[M]):
    """A page whose changes go through the services, and which shows their refusals."""

    list_per_page = 50
    show_full_result_count = False
    paginator = CappedPaginator

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
            self.message_user(request, error.message, messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())

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
