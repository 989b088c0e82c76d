"""The queue of withdrawals: staff approves, confirms and cancels; no number is ever edited."""

from typing import Any, Final, override

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html

from billing.stripe.amounts import shown
from billing.stripe.person_models import PlatformStripe
from billing.withdrawals import paying, requests
from billing.withdrawals.models import BankBatch, Destination, PayoutTerms, Withdrawal
from config.kit import ids
from config.kit.admin import ReadOnlyAdmin, money, public_id
from config.kit.errors import PaywallsError

State = Withdrawal.State

ACTIONS: Final = {
    "approve": "Approve: somebody else asked for it",
    "look": "Ask where it is now, and do what follows from it",
    "paid": "The bank has paid it",
    "failed": "It failed: the money goes back",
    "cancel": "Cancel: the money goes back",
}
FITTING: Final[dict[str, tuple[str, ...]]] = {
    State.REQUESTED.value: ("approve", "failed", "cancel"),
    State.APPROVED.value: ("failed", "cancel"),
    State.SENT.value: ("look", "paid", "failed", "cancel"),
    State.PAID.value: ("look", "failed"),
}
OF_STRIPE: Final = frozenset({"approve", "look", "cancel"})
"""What a payment by Stripe is, Stripe says: nobody else declares it paid or failed."""


STUCK: Final = ("cancel", State.SENT)
"""A payment that a bank has is confirmed as paid or as failed."""


def fitting(row: Withdrawal) -> list[str]:
    """What can be done with it."""
    names = FITTING.get(row.state, ())
    if row.destination.kind == Destination.Kind.BANK:
        return [name for name in names if name != "look" and (name, row.state) != STUCK]
    return [name for name in names if name in OF_STRIPE or row.sent_at is None]


class ActForm(forms.Form):
    """What to do with a withdrawal."""

    action = forms.ChoiceField()
    reason = forms.CharField(required=False, max_length=300, help_text="kept with it")

    def __init__(self, *args: Any, row: Withdrawal, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.row = row
        choice = self.fields["action"]
        assert isinstance(choice, forms.ChoiceField)
        choice.choices = [(name, ACTIONS[name]) for name in fitting(row)]

    def act(self, actor: str) -> Withdrawal:
        """Does it. Raises: PaywallsError."""
        name, reason = self.cleaned_data["action"], self.cleaned_data["reason"]
        if name == "look":
            return paying.look(self.row)
        if name == "cancel":
            return requests.cancel(self.row, actor=actor, reason=reason)
        with transaction.atomic():
            if name == "approve":
                return requests.approve(self.row, actor=actor)
            return requests.move(self.row, State(name), actor=actor, reason=reason)


@admin.register(Withdrawal)
class WithdrawalAdmin(ReadOnlyAdmin[Withdrawal]):
    """Earnings on their way out, newest first."""

    list_display = ("id_", "state", "team", "amount_", "destination", "act_link", "requested_at")
    list_filter = ("state", "livemode", "destination__kind")
    list_select_related = ("team", "destination")
    id_fields = ("pk", "team_id", "transaction_id")
    search_help_text = "wd_…, team_… or txn_…"
    search_fields = ("requested_by",)
    readonly_fields = ("act_link",)
    exclude = ("fingerprint",)
    when_empty = "A team with cleared earnings and a destination withdraws: withdraw."
    id_ = public_id("id", "wd", "id")
    amount_ = money("amount", "amount")
    fee_ = money("fee", "fee")
    net_ = money("net", "paid out")
    reserve_ = money("reserve", "reserve at the time")
    transaction_id_ = public_id("transaction_id", "txn", "out of earnings")

    @admin.display(description="action")
    def act_link(self, row: Withdrawal) -> str:
        if not fitting(row):
            return "-"
        url = reverse("admin:billing_withdrawal_act", args=[row.pk])
        return format_html('<a href="{}">Approve, pay, end …</a>', url)

    @override
    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.act_view)
        return [
            path("<uuid:withdrawal_id>/act/", view, name="billing_withdrawal_act"),
            *super().get_urls(),
        ]

    def act_view(self, request: HttpRequest, withdrawal_id: Any) -> HttpResponse:
        """A form with what can be done now."""
        if not request.user.has_perm("billing.change_withdrawal"):
            raise PermissionDenied
        get_object_or_404(Withdrawal, pk=withdrawal_id)
        row = requests.find(withdrawal_id)
        form = ActForm(request.POST or None, row=row)
        if request.method == "POST" and form.is_valid():
            assert request.user.is_authenticated, "the admin site is for staff"
            try:
                done = form.act(ids.encode("dev", request.user.pk))
            except PaywallsError as error:
                form.add_error(None, error.message)
            else:
                self.message_user(request, f"{done} is {done.state}.", messages.SUCCESS)
                return HttpResponseRedirect(request.get_full_path())
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "row": row,
            "row_url": reverse("admin:billing_withdrawal_change", args=[row.pk]),
            "list_url": reverse("admin:billing_withdrawal_changelist"),
            "title": "Approve, pay, end",
            "submit": "Do it",
            "form": form,
            "facts": _facts(row),
            "lines": (),
        }
        status = 422 if form.errors else 200
        return TemplateResponse(request, "admin/billing/move.html", context, status=status)


@admin.register(Destination)
class DestinationAdmin(ReadOnlyAdmin[Destination]):
    """Where earnings go; only a team's owners, or a command, choose another."""

    list_display = ("id_", "team", "kind", "label", "schedule", "trouble", "is_active")
    list_filter = ("kind", "is_active", "livemode")
    list_select_related = ("team",)
    id_fields = ("pk", "team_id")
    search_fields = ("team__name__startswith",)
    search_help_text = "dest_… or team_…, or the beginning of a team's name"
    exclude = ("sealed",)
    when_empty = "A team says where its earnings go: set_destination."
    id_ = public_id("id", "dest", "id")


@admin.register(PayoutTerms)
class PayoutTermsAdmin(ReadOnlyAdmin[PayoutTerms]):
    """Versions; the last is in force. `set_payout_terms` makes another."""

    list_display = (
        *("id", "clearing_days", "reserve_bps", "minimum_", "fee_", "approval_above_"),
        *("destination_delay_hours", "actor", "created_at"),
    )
    minimum_ = minimum_nanos_ = money("minimum_nanos", "minimum")
    fee_ = fee_nanos_ = money("fee_nanos", "fee")
    approval_above_ = approval_above_nanos_ = money("approval_above_nanos", "approval above")


@admin.register(BankBatch)
class BankBatchAdmin(ReadOnlyAdmin[BankBatch]):
    """What was exported together; `confirm_bank_batch` says what became of it."""

    list_display = ("id_", "currency", "livemode", "actor", "created_at")
    list_filter = ("livemode",)
    id_fields = ("pk",)
    when_empty = "Withdrawals to bank accounts that are due make one: export_bank_batch."
    id_ = public_id("id", "batch", "id")


@admin.register(PlatformStripe)
class PlatformStripeAdmin(ReadOnlyAdmin[PlatformStripe]):
    """The operator's own Stripe keys, without the keys."""

    list_display = ("id_", "key_prefix", "key_last_four", "livemode", "heard_at")
    exclude = ("path", "sealed_key", "sealed_secret", "sealed_connect_secret")
    when_empty = "connect_platform_stripe saves one."
    id_ = public_id("id", "sta", "id")


def _facts(row: Withdrawal) -> list[tuple[str, str]]:
    return [
        ("Withdrawal", row.public_id),
        ("Team", row.team.name),
        ("Mode", "live" if row.livemode else "test"),
        ("State", row.state),
        ("Why", row.reason or "-"),
        ("Amount", shown(row.amount, row.currency)),
        ("Fee", shown(row.fee, row.currency)),
        ("To", f"{row.destination}: {shown(row.net, row.currency)}"),
        ("Asked for by", row.requested_by),
        ("Approved by", row.approved_by or "-"),
        ("Not before", f"{row.pay_after:%Y-%m-%d %H:%M}"),
    ]
