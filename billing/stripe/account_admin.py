"""Stripe keys and what Stripe told us: staff examines, rotates, retries and dismisses."""

from typing import Any, Final, override

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import models, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html

from billing.stripe import connect, inbox
from billing.stripe.models import InboxEvent, StripeAccount
from config.kit import ids
from config.kit.admin import ReadOnlyAdmin, public_id
from config.kit.errors import PaywallsError

ON_ACCOUNT: Final = (
    ("check", "Examine the key again, and repair the webhook"),
    ("rotate", "Make the webhook anew, with a new secret"),
    ("disconnect", "Take no more payments with it"),
)
ON_EVENT: Final = (
    ("retry", "Handle it again"),
    ("dismiss", "Dismiss it: nothing is to be done"),
)


class AccountForm(forms.Form):
    """What to do with a Stripe key."""

    action = forms.ChoiceField(choices=ON_ACCOUNT)

    def act(self, row: StripeAccount, actor: str) -> str:
        """Does it, and says what came of it. Raises: PaywallsError."""
        match self.cleaned_data["action"]:
            case "check":
                return connect.check(row).trouble or "Everything is in order."
            case "rotate":
                return f"The webhook is {connect.rotate_secret(row, actor=actor).endpoint_id} now."
        with transaction.atomic():
            connect.disconnect(row, actor=actor)
        return "It takes no more payments."


class EventForm(forms.Form):
    """What to do with an event."""

    action = forms.ChoiceField(choices=ON_EVENT)
    reason = forms.CharField(max_length=200, required=False, help_text="to dismiss: why")

    def clean(self) -> dict[str, Any]:
        given = super().clean() or self.cleaned_data
        if given.get("action") == "dismiss" and not given.get("reason"):
            self.add_error("reason", "Say why nothing is to be done.")
        return given

    def act(self, row: InboxEvent, actor: str) -> str:
        """Does it, and says what came of it."""
        if self.cleaned_data["action"] == "retry":
            inbox.retry(row)
            return "It is handled within a second or two."
        if inbox.dismiss(row, actor=actor, reason=self.cleaned_data["reason"]):
            return "It is dismissed."
        return "It is not quarantined: there was nothing to dismiss."


class ActAdmin[M: models.Model](ReadOnlyAdmin[M]):
    """A page with a form that acts on one row."""

    act_form: type[Any]
    """A form with `act(row, actor)`, which does it and says what came of it."""

    act_title: str
    readonly_fields = ("act_link",)

    def facts(self, row: Any) -> list[tuple[str, str]]:
        """What the form's page shows of the row."""
        raise NotImplementedError

    @admin.display(description="action")
    def act_link(self, row: M) -> str:
        url = reverse(f"admin:billing_{self.opts.model_name}_act", args=[row.pk])
        return format_html('<a href="{}">{} …</a>', url, self.act_title)

    @override
    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.act_view)
        name = f"billing_{self.opts.model_name}_act"
        return [path("<uuid:row_id>/act/", view, name=name), *super().get_urls()]

    def act_view(self, request: HttpRequest, row_id: Any) -> HttpResponse:
        """The form, and what it does."""
        name = self.opts.model_name
        if not request.user.has_perm(f"billing.change_{name}"):
            raise PermissionDenied
        row: Any = get_object_or_404(self.get_queryset(request), pk=row_id)
        form = self.act_form(request.POST or None)
        if request.method == "POST" and form.is_valid():
            assert request.user.is_authenticated, "the admin site is for staff"
            try:
                said = form.act(row, ids.encode("dev", request.user.pk))
            except PaywallsError as error:
                form.add_error(None, error.message)
            else:
                self.message_user(request, said, messages.SUCCESS)
                return HttpResponseRedirect(request.get_full_path())
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "row": row,
            "row_url": reverse(f"admin:billing_{name}_change", args=[row.pk]),
            "list_url": reverse(f"admin:billing_{name}_changelist"),
            "title": self.act_title,
            "submit": "Do it",
            "form": form,
            "facts": self.facts(row),
            "lines": (),
        }
        status = 422 if form.errors else 200
        return TemplateResponse(request, "admin/billing/move.html", context, status=status)


@admin.register(StripeAccount)
class StripeAccountAdmin(ActAdmin[StripeAccount]):
    """The Stripe keys of paywalls, and what is wrong with them."""

    list_display = ("id_", "paywall", "key", "livemode", "is_active", "trouble", "act_link")
    list_filter = ("is_active", "livemode", ("stopped_at", admin.EmptyFieldListFilter))
    list_select_related = ("paywall",)
    id_fields = ("pk", "paywall_id")
    search_fields = ("endpoint_id",)
    search_help_text = "sta_… or pw_…, or Stripe's we_…"
    exclude = ("path", "checks", "paced_until")
    when_empty = "A developer connects Stripe by ./run manage connect_stripe."
    act_form, act_title = AccountForm, "Examine or rotate"
    id_ = public_id("id", "sta", "id")

    @admin.display(description="key")
    def key(self, row: StripeAccount) -> str:
        return f"{row.key_prefix}_…{row.key_last_four}"

    @override
    def facts(self, row: StripeAccount) -> list[tuple[str, str]]:
        found = [(each.name, "ok" if each.ok else each.message) for each in connect.findings(row)]
        takes = row.is_active and row.stopped_at is None
        return [("Key", str(row)), ("Takes payments", "yes" if takes else "no"), *found]


@admin.register(InboxEvent)
class InboxEventAdmin(ActAdmin[InboxEvent]):
    """What Stripe told us, newest first; what is quarantined waits for somebody here."""

    list_display = ("event_id", "type", "state", "reason", "tries", "received_at", "act_link")
    list_filter = ("state",)
    list_select_related = ("account__paywall",)
    id_fields = ("account_id",)
    search_fields = ("event_id", "object_id")
    search_help_text = "sta_…, or Stripe's evt_…, or the id of what it is about"
    when_empty = "Stripe's events appear here by themselves."
    act_form, act_title = EventForm, "Retry or dismiss"

    @override
    def facts(self, row: InboxEvent) -> list[tuple[str, str]]:
        return [
            ("Event", str(row)),
            ("About", row.object_id),
            ("Key", str(row.account)),
            ("State", row.state),
            ("Why", row.reason or "-"),
            ("Tries", str(row.tries)),
            ("Received", f"{row.received_at:%Y-%m-%d %H:%M:%S}"),
        ]
