"""Automatic top-ups that people agreed to, and balances that are low: staff sees, and may end."""

from typing import override

from django import forms
from django.contrib import admin
from django.db import transaction

from billing.stripe import agreements
from billing.stripe.account_admin import ActAdmin
from billing.stripe.refill_models import LowBalance, RefillAgreement
from config.kit.admin import ReadOnlyAdmin, money, public_id
from config.kit.money import format_nanos
from paywalls import audit


class StopForm(forms.Form):
    """Ends an agreement; the page of its user says why."""

    reason = forms.CharField(max_length=150, help_text="the user reads it, and the owners get it")

    def act(self, row: RefillAgreement, actor: str) -> str:
        """Does it, and says what came of it."""
        with transaction.atomic():
            audit.lock(row.customer.account.paywall)
            agreements.stop(row, self.cleaned_data["reason"])
            audit.record(
                paywall=row.customer.account.paywall,
                actor=actor,
                action="refill.stopped",
                subject=row.public_id,
                after={"reason": self.cleaned_data["reason"]},
            )
        return "It is off. What is under way at Stripe is still credited."


@admin.register(RefillAgreement)
class RefillAgreementAdmin(ActAdmin[RefillAgreement]):
    """Who agreed to automatic top-ups, in which words, and why one ended."""

    list_display = ("id_", "status", "below_", "amount_", "most_", "trouble", "agreed_at")
    list_filter = ("status", "customer__account__livemode")
    list_select_related = ("customer__account__paywall", "customer__user")
    id_fields = ("pk", "customer__user_id", "customer__account__paywall_id")
    search_fields = ("customer__customer_id",)
    search_help_text = "refill_…, usr_… or pw_…, or Stripe's cus_…"
    when_empty = "Where `set_refills` is on, people agree on the page behind their link."
    act_form, act_title = StopForm, "End"
    id_ = public_id("id", "refill", "id")
    below_nanos_ = below_ = money("below_nanos", "below")
    amount_nanos_ = amount_ = money("amount_nanos", "top-up")
    month_most_nanos_ = most_ = money("month_most_nanos", "most of a month")

    @override
    def facts(self, row: RefillAgreement) -> list[tuple[str, str]]:
        customer = row.customer
        return [
            ("User", customer.user.external_id),
            ("Paywall", str(customer.account.paywall)),
            ("Status", row.status),
            ("Agreed", f"{row.agreed_at:%Y-%m-%d %H:%M} UTC, {row.address or 'address unknown'}"),
            ("Words", row.words),
            ("Card", f"{customer.card_brand} …{customer.card_last_four}"),
            ("Declines in a row", str(row.declines)),
            ("Why it ended", row.trouble or "-"),
            *(
                (order.public_id, f"{format_nanos(order.credit_nanos)}, {order.status}")
                for order in row.orders.order_by("-id")[:20]
            ),
        ]


@admin.register(LowBalance)
class LowBalanceAdmin(ReadOnlyAdmin[LowBalance]):
    """Who is below their paywall's threshold now."""

    list_display = ("user", "paywall", "level_", "threshold_", "since")
    list_select_related = ("user", "paywall")
    ordering = ("-since",)
    id_fields = ("user_id", "paywall_id")
    search_fields = ("user__external_id__startswith",)
    search_help_text = "the beginning of your id for the user, usr_… or pw_…"
    when_empty = "Who falls below the amount of `set_low_balance` appears here."
    level_nanos_ = level_ = money("level_nanos", "balance when seen")
    threshold_nanos_ = threshold_ = money("threshold_nanos", "threshold")
