"""Requests and charges to look at, wallets to move money in. Never an edited number."""

from typing import Any, override

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html

import billing.stripe.account_admin
import billing.stripe.order_admin
import billing.stripe.person_admin
import billing.stripe.refill_admin
import billing.stripe.sale_admin
import billing.webhooks.admin
import billing.withdrawals.admin  # noqa: F401 - Django looks for pages here.
from billing.forms import MoveForm, RefundForm
from billing.models import Charge, PlatformFee, Request, Split, Wallet, Writeoff
from config.kit import ids
from config.kit.admin import ReadOnlyAdmin, money, public_id
from config.kit.errors import PaywallsError
from config.kit.money import format_nanos
from ledger.admin import PublicIdSearch
from ledger.balances import statement
from ledger.models import Account
from paywalls.models import Paywall


class CostsAdmin[M: Model](PublicIdSearch[M]):
    """What requests and charges have in common."""

    when_empty = "Send a chat to POST /v1/chat/completions with a key of a paywall."
    paywall_id_ = public_id("paywall_id", "pw", "paywall", page="paywalls_paywall")
    user_id_ = public_id("user_id", "usr", "user", page="billing_wallet")
    key_id_ = public_id("key_id", "key", "key", page="paywalls_apikey")
    rate_id_ = public_id("rate_id", "rate", "rate", page="paywalls_rate")
    charged_ = money("charged", "charged")
    provider_cost_ = money("provider_cost", "provider's cost")


@admin.register(Request)
class RequestAdmin(CostsAdmin[Request]):
    """Calls that reached a provider, newest first."""

    list_display = ("id_", "status", "model", "charged_", "user_id_", "policy", "created_at")
    list_filter = ("status",)
    id_fields = ("pk", "user_id", "transaction_id")
    id_ = public_id("id", "req", "id")
    connection_id_ = public_id("connection_id", "conn", "connection")
    written_off_ = money("written_off", "written off")
    transaction_id_ = public_id("transaction_id", "txn", "charge", page="billing_charge")


@admin.register(Writeoff)
class WriteoffAdmin(ReadOnlyAdmin[Writeoff]):
    """Provider work that nobody paid for."""

    list_display = ("id", "request_id_", "paywall_id_", "nanos_", "reason", "created_at")
    when_empty = "None is good: no provider work has gone unpaid."
    request_id_ = public_id("request_id", "req", "request", page="billing_request")
    paywall_id_ = public_id("paywall_id", "pw", "paywall", page="paywalls_paywall")
    nanos_ = money("nanos", "amount")


@admin.register(Charge)
class ChargeAdmin(CostsAdmin[Charge]):
    """Charges with what they were computed from; each can be refunded."""

    list_display = ("id_", "model", "charged_", "refund_link", "user_id_", "policy", "created_at")
    id_fields = ("pk", "request_id", "user_id")
    readonly_fields = ("refund_link",)
    id_ = public_id("transaction_id", "txn", "id")
    request_id_ = public_id("request_id", "req", "request", page="billing_request")

    @admin.display(description="refund")
    def refund_link(self, row: Charge) -> str:
        url = reverse("admin:billing_charge_refund", args=[row.pk])
        return format_html('<a href="{}">Refund …</a>', url)

    @override
    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.refund_view)
        return [
            path("<uuid:charge_id>/refund/", view, name="billing_charge_refund"),
            *super().get_urls(),
        ]

    def refund_view(self, request: HttpRequest, charge_id: Any) -> HttpResponse:
        """A form that gives back (part of) one charge."""
        if not request.user.has_perm("billing.change_charge"):
            raise PermissionDenied
        row = get_object_or_404(Charge, pk=charge_id)
        paywall = Paywall.objects.get(pk=row.paywall_id)
        form = RefundForm(request.POST or None, charge=row)
        facts = [
            ("Charge", ids.encode("txn", row.transaction_id)),
            ("Model", row.model),
            ("Charged", f"{format_nanos(row.charged)} {paywall.currency}"),
        ]
        return _money_page(self, request, form, title="Refund", facts=facts, lines=())


@admin.register(PlatformFee)
class PlatformFeeAdmin(ReadOnlyAdmin[PlatformFee]):
    """What the platform takes of Shared charges, and since when."""

    list_display = ("number", "__str__", "valid_from", "actor", "created_at")
    when_empty = "No fee was ever set: set_platform_fee."


@admin.register(Split)
class SplitAdmin(ReadOnlyAdmin[Split]):
    """How each Shared charge, and each of its refunds, was shared."""

    list_display = ("id_", "cost_", "fee_", "earned_", "built_in", "fee_ppm", "user_id_")
    list_filter = ("built_in",)
    id_fields = ("pk", "user_id", "grant_id", "paywall_id")
    when_empty = "A charge of a Shared paywall makes one."
    id_ = public_id("transaction_id", "txn", "id")
    paywall_id_ = public_id("paywall_id", "pw", "paywall", page="paywalls_paywall")
    user_id_ = public_id("user_id", "usr", "user", page="billing_wallet")
    grant_id_ = public_id("grant_id", "grt", "grant", page="paywalls_grant")
    cost_ = money("cost", "provider")
    fee_ = money("fee", "platform")
    earned_ = money("earned", "developer")


@admin.register(Wallet)
class WalletAdmin(ReadOnlyAdmin[Wallet]):
    """End users with their money; every movement asks for a reason and keeps who did it."""

    list_display = ("external_id", "move_link", "paywall", "livemode", "blocked_at", "created_at")
    list_filter = ("livemode",)
    list_select_related = ("paywall",)
    search_fields = ("external_id__startswith",)
    search_help_text = "the beginning of your id for the user, or usr_… or wal_…"
    id_fields = ("pk", "wallet_id")
    readonly_fields = ("move_link",)
    when_empty = "A user's first request, deposit or balance makes the wallet."

    @admin.display(description="money")
    def move_link(self, row: Wallet) -> str:
        url = reverse("admin:billing_wallet_move", args=[row.pk])
        text = "Balance and history …"
        return format_html('<a href="{}">{}</a>', url, text)

    @override
    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.move_view)
        return [
            path("<uuid:user_id>/move/", view, name="billing_wallet_move"),
            *super().get_urls(),
        ]

    def move_view(self, request: HttpRequest, user_id: Any) -> HttpResponse:
        """Balance and history of a wallet, and a form that books a movement."""
        if not request.user.has_perm("billing.change_wallet"):
            raise PermissionDenied
        row = get_object_or_404(Wallet.objects.select_related("paywall"), pk=user_id)
        account = get_object_or_404(Account, pk=row.wallet_id)
        form = MoveForm(request.POST or None, wallet=row)
        facts = [
            ("User", row.external_id),
            ("Paywall", str(row.paywall)),
            ("Mode", "live" if row.livemode else "test"),
            ("Balance", f"{format_nanos(account.posted)} {account.currency}"),
            ("Held", format_nanos(account.held)),
            ("Owed", format_nanos(account.owed)),
        ]
        lines = [
            (
                line.created_at,
                line.kind,
                format_nanos(line.amount_nanos),
                format_nanos(line.balance_after_nanos or 0),
                ids.encode("txn", line.transaction_id),
            )
            for line in statement(account.id)
        ]
        return _money_page(self, request, form, title="Move money", facts=facts, lines=lines)


def _money_page(
    page: ReadOnlyAdmin[Any],
    request: HttpRequest,
    form: MoveForm | RefundForm,
    *,
    title: str,
    facts: list[tuple[str, str]],
    lines: Any,
) -> HttpResponse:
    if request.method == "POST" and form.is_valid():
        assert request.user.is_authenticated, "the admin site is for staff"
        try:
            booked = form.book(actor=ids.encode("dev", request.user.pk))
        except PaywallsError as error:
            form.add_error(None, error.message)
        else:
            page.message_user(
                request,
                f"Booked {ids.encode('txn', booked.transaction_id)};"
                f" the wallet can spend {format_nanos(booked.balance_nanos)}.",
                messages.SUCCESS,
            )
            return HttpResponseRedirect(request.get_full_path())
    row = form.wallet if isinstance(form, MoveForm) else form.charge
    site = f"admin:billing_{page.opts.model_name}"
    context = {
        **page.admin_site.each_context(request),
        "opts": page.opts,
        "row": row,
        "row_url": reverse(f"{site}_change", args=[row.pk]),
        "list_url": reverse(f"{site}_changelist"),
        "title": title,
        "form": form,
        "facts": facts,
        "lines": lines,
    }
    return TemplateResponse(
        request, "admin/billing/move.html", context, status=422 if form.errors else 200
    )
