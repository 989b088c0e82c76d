"""Top-ups that people paid to the operator: staff asks Stripe again, or refunds what is unspent."""

from typing import Any, Final, override

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html

from billing.stripe import amounts, person_orders
from billing.stripe.person_models import PersonOrder
from config.kit import ids
from config.kit.admin import ReadOnlyAdmin, money, public_id
from config.kit.errors import PaywallsError
from config.kit.money import parse_nanos

ACTIONS: Final = (
    ("ask", "Ask Stripe again, and do what follows from it"),
    ("refund", "Refund through Stripe what was not spent, to where it was paid from"),
)


class ActForm(forms.Form):
    """What to do with a top-up."""

    action = forms.ChoiceField(choices=ACTIONS)
    amount = forms.CharField(
        required=False,
        help_text="of the refund, such as 12.50",
        widget=forms.TextInput(attrs={"inputmode": "decimal"}),
    )

    def __init__(self, *args: Any, order: PersonOrder, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.order = order

    @override
    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        if given.get("action") == "refund" and not parse_nanos(given.get("amount", "").strip()):
            self.add_error("amount", "An amount above 0 such as 12.50.")
        return given

    def act(self, actor: str) -> str:
        """Does it, and says what came of it. Raises: PaywallsError."""
        if self.cleaned_data["action"] == "ask":
            order = person_orders.follow(self.order)
            return f"The order is {order.status}. {order.reason}"
        nanos = parse_nanos(self.cleaned_data["amount"].strip())
        assert nanos, "clean() has seen to it"
        order = person_orders.refund(self.order, nanos, actor=actor)
        return f"Taken back so far: {amounts.shown(order.taken_nanos, order.currency)}."


@admin.register(PersonOrder)
class PersonOrderAdmin(ReadOnlyAdmin[PersonOrder]):
    """Newest first; what is quarantined waits for somebody here."""

    list_display = ("id_", "status", "credit_", "taken_", "act_link", "reason", "created_at")
    list_filter = ("status", "livemode")
    id_fields = ("pk", "person_id", "transaction_id")
    search_fields = ("session_id", "payment_intent_id")
    search_help_text = "ord_… or per_…, or Stripe's cs_… or pi_…"
    readonly_fields = ("act_link",)
    exclude = ("session_url",)
    when_empty = "An order is made when somebody fills a wallet; connect_platform_stripe allows it."
    id_ = public_id("id", "ord", "id")
    person_id_ = public_id("person_id", "per", "person")
    credit_nanos_ = credit_ = money("credit_nanos", "credit")
    taken_nanos_ = taken_ = money("taken_nanos", "taken back")
    transaction_id_ = public_id("transaction_id", "txn", "top-up", page="ledger_transaction")

    @admin.display(description="action")
    def act_link(self, row: PersonOrder) -> str:
        url = reverse("admin:billing_personorder_act", args=[row.pk])
        return format_html('<a href="{}">Check or refund …</a>', url)

    @override
    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.act_view)
        return [
            path("<uuid:order_id>/act/", view, name="billing_personorder_act"),
            *super().get_urls(),
        ]

    def act_view(self, request: HttpRequest, order_id: Any) -> HttpResponse:
        """A form that asks Stripe again, or refunds."""
        if not request.user.has_perm("billing.change_personorder"):
            raise PermissionDenied
        order = get_object_or_404(PersonOrder.objects.select_related("person"), pk=order_id)
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
            "row_url": reverse("admin:billing_personorder_change", args=[order.pk]),
            "list_url": reverse("admin:billing_personorder_changelist"),
            "title": "Check or refund",
            "submit": "Do it",
            "form": form,
            "facts": [
                ("Order", order.public_id),
                ("Person", order.person.public_id),
                ("Status", order.status),
                ("Why", order.reason or "-"),
                ("Credit", amounts.shown(order.credit_nanos, order.currency)),
                ("Taken back", amounts.shown(order.taken_nanos, order.currency)),
            ],
            "lines": (),
        }
        status = 422 if form.errors else 200
        return TemplateResponse(request, "admin/billing/move.html", context, status=status)
