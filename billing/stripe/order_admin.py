"""Orders, and what was taken back of them: staff asks Stripe again or refunds, and edits none."""

from typing import Any, Final, override

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html

from billing.stripe import amounts, fulfil, orders, reversals
from billing.stripe.models import Order, Reversal
from config.kit import ids
from config.kit.admin import ReadOnlyAdmin, money, public_id
from config.kit.errors import PaywallsError
from config.kit.money import parse_nanos

ACTIONS: Final = (
    ("ask", "Ask Stripe again, and do what follows from it"),
    ("refund", "Refund through Stripe, to where it was paid from"),
)


class ActForm(forms.Form):
    """What to do with an order."""

    action = forms.ChoiceField(choices=ACTIONS)
    amount = forms.CharField(
        required=False,
        help_text="of the refund, such as 12.50; all that is left if empty",
        widget=forms.TextInput(attrs={"inputmode": "decimal"}),
    )
    once = forms.CharField(
        max_length=100, widget=forms.HiddenInput, initial=lambda: ids.uuid7().hex
    )

    def __init__(self, *args: Any, order: Order, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.order = order

    def clean_amount(self) -> int | None:
        """In minor units."""
        text = self.cleaned_data["amount"].strip()
        if not text:
            return None
        nanos = parse_nanos(text)
        if not nanos:
            raise forms.ValidationError("An amount above 0 such as 12.50.")
        try:
            return amounts.to_minor(nanos, self.order.currency, least=1)
        except PaywallsError as error:
            raise forms.ValidationError(error.message) from error

    def act(self, actor: str) -> str:
        """Does it, and says what came of it. Raises: PaywallsError."""
        if self.cleaned_data["action"] == "ask":
            order = fulfil.fulfil(self.order)
            return f"The order is {order.status}. {order.reason}"
        minor, ref = self.cleaned_data["amount"], self.cleaned_data["once"]
        made = reversals.refund(self.order, minor, actor=actor, ref=ref)
        shown = amounts.shown(
            amounts.to_nanos(made.amount_minor, self.order.currency), self.order.currency
        )
        return f"Refunded {shown}: {made.object_id} is {made.status}."


@admin.register(Order)
class OrderAdmin(ReadOnlyAdmin[Order]):
    """What people meant to pay, newest first; what is quarantined waits for somebody here."""

    list_display = ("id_", "status", "kind", "price", "credit_", "act_link", "reason", "created_at")
    list_filter = ("status", "kind", "livemode")
    list_select_related = ("paywall", "user")
    id_fields = ("pk", "user_id", "paywall_id", "transaction_id", "agreement_id")
    search_fields = ("session_id", "payment_intent_id")
    search_help_text = "ord_…, usr_… or refill_…, or Stripe's cs_… or pi_…"
    readonly_fields = ("act_link",)
    exclude = ("session_url",)
    when_empty = "An order is made when somebody clicks the link of a message."
    id_ = public_id("id", "ord", "id")
    credit_nanos_ = credit_ = money("credit_nanos", "credit")
    bonus_nanos_ = money("bonus_nanos", "bonus")
    transaction_id_ = public_id("transaction_id", "txn", "top-up", page="ledger_transaction")

    @admin.display(description="price", ordering="price_minor")
    def price(self, row: Order) -> str:
        return amounts.shown(amounts.to_nanos(row.price_minor, row.currency), row.currency)

    @admin.display(description="action")
    def act_link(self, row: Order) -> str:
        url = reverse("admin:billing_order_act", args=[row.pk])
        return format_html('<a href="{}">Check or refund …</a>', url)

    @override
    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.act_view)
        return [
            path("<uuid:order_id>/act/", view, name="billing_order_act"),
            *super().get_urls(),
        ]

    def act_view(self, request: HttpRequest, order_id: Any) -> HttpResponse:
        """A form that asks Stripe again, or refunds."""
        if not request.user.has_perm("billing.change_order"):
            raise PermissionDenied
        get_object_or_404(Order, pk=order_id)
        order = orders.find(order_id)
        form = ActForm(request.POST or None, order=order)
        if request.method == "POST" and form.is_valid():
            assert request.user.is_authenticated, "the admin site is for staff"
            try:
                said = form.act(ids.encode("dev", request.user.pk))
            except PaywallsError as error:
                form.add_error(None, error.message)
            else:
                self.message_user(request, said, messages.SUCCESS)
                return HttpResponseRedirect(request.get_full_path())
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "row": order,
            "row_url": reverse("admin:billing_order_change", args=[order.pk]),
            "list_url": reverse("admin:billing_order_changelist"),
            "title": "Check or refund",
            "submit": "Do it",
            "form": form,
            "facts": _facts(order),
            "lines": (),
        }
        status = 422 if form.errors else 200
        return TemplateResponse(request, "admin/billing/move.html", context, status=status)


@admin.register(Reversal)
class ReversalAdmin(ReadOnlyAdmin[Reversal]):
    """Refunds and disputes, and what the ledger has taken for them."""

    list_display = ("object_id", "kind", "status", "booked_", "order", "updated_at")
    list_filter = ("kind", "status")
    list_select_related = ("order",)
    id_fields = ("order_id",)
    search_fields = ("object_id", "payment_intent_id")
    search_help_text = "ord_…, or Stripe's re_…, du_… or pi_…"
    when_empty = "Refunds and disputes of payments through Stripe appear here by themselves."
    booked_nanos_ = booked_ = money("booked_nanos", "taken from the wallet")
    booked_bonus_nanos_ = money("booked_bonus_nanos", "of these: bonus")


def _facts(order: Order) -> list[tuple[str, str]]:
    paid = "-" if order.paid_minor is None else _shown(order, order.paid_minor)
    return [
        ("Order", order.public_id),
        ("User", order.user.external_id),
        ("Paywall", str(order.paywall)),
        ("Status", order.status),
        ("Why", order.reason or "-"),
        ("Price", _shown(order, order.price_minor)),
        ("Paid", paid),
        ("Credit", amounts.shown(order.credit_nanos + order.bonus_nanos, order.currency)),
        ("Fraud warning", f"{order.warned_at:%Y-%m-%d %H:%M}" if order.warned_at else "-"),
        *(
            (f"{row.kind} {row.object_id}", f"{_shown(order, row.amount_minor)}, {row.status}")
            for row in order.reversals.order_by("id")
        ),
    ]


def _shown(order: Order, minor: int) -> str:
    return amounts.shown(amounts.to_nanos(minor, order.currency), order.currency)
