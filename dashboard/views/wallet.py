"""A wallet's page and the receipts of its movements, behind links that need no login."""

from dataclasses import dataclass
from typing import Final

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from billing import receipts
from billing.history import HistoryLine, history, totals
from billing.receipts import Item
from billing.stripe import refill_rules
from config.kit import clock, ids
from config.kit.money import format_nanos
from dashboard.views.private import kept_private
from ledger.models import Account
from paywalls import links
from paywalls.models import EndUser
from paywalls.pricing import TOKENS_PER_RATE

CURSOR_MAX: Final = 2**63 - 1
NAMES: Final = {
    "adjustment": "Correction",
    "audio_completion": "Audio output tokens",
    "audio_prompt": "Audio input tokens",
    "bonus": "Bonus",
    "cache_write": "Input tokens written to a cache",
    "cached": "Cached input tokens",
    "character": "Characters",
    "charge": "Charge",
    "collection": "Paid back what was owed",
    "completion": "Output tokens",
    "deposit": "Deposit",
    "expiry": "Expired",
    "image": "Images",
    "markup": "Markup",
    "minimum": "Up to the least charge",
    "not_covered": "Not charged: more than was set aside",
    "prompt": "Input tokens",
    "reasoning": "Reasoning tokens",
    "refund": "Refund",
    "request": "Fee for the request",
    "reversal": "Payment taken back",
    "rounding": "Rounding up",
    "second": "Seconds",
    "tool": "Tool calls",
    "topup": "Top-up",
    "trial": "Trial",
}
"""What people read for a kind of movement or an item of a receipt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A movement as the page shows it."""

    line: HistoryLine
    name: str
    amount: str
    receipt_url: str


@require_safe
def show_receipt(request: HttpRequest, token: str) -> HttpResponse:
    """What a movement came from. It names no user.

    Raises: Http404 for a link that is not ours.
    """
    transaction_id = links.read_receipt_token(token)
    receipt = receipts.find(transaction_id) if transaction_id else None
    if receipt is None:
        raise Http404
    context = {
        "receipt": receipt,
        "paywall_name": receipt.paywall.name,
        "name": NAMES[receipt.kind],
        "reference": ids.encode("txn", receipt.transaction_id),
        "request_reference": ids.encode("req", receipt.request_id) if receipt.request_id else "",
        "of_url": links.receipt_url(receipt.of) if receipt.of else "",
        "items": [_item(item) for item in receipt.items],
        "refunds": [
            (
                format_nanos(refund.amount_nanos),
                refund.created_at,
                links.receipt_url(refund.transaction_id),
            )
            for refund in receipt.refunds
        ],
        "total": format_nanos(receipt.total_nanos),
        "parts": _parts(receipt),
        "before": format_nanos(receipt.balance_before_nanos),
        "after": format_nanos(receipt.balance_after_nanos),
    }
    return kept_private(render(request, "receipt.html", context))


def _parts(receipt: receipts.Receipt) -> list[tuple[str, str]]:
    """Who got what of a Shared charge; empty in Default mode."""
    if receipt.parts is None:
        return []
    parts = receipt.parts
    named = (("Model provider", parts.cost), ("Platform", parts.fee), ("App", parts.earned))
    return [(name, format_nanos(nanos)) for name, nanos in named]


@require_safe
def show_wallet(request: HttpRequest, token: str) -> HttpResponse:
    """A user's balance, movements and sums, as long as the link is good.

    Raises: Http404 for a link that is not ours, or a page that is none.
    """
    user = visitor(request, token)
    if isinstance(user, HttpResponse):
        return user
    assert user.wallet_id is not None, "visitor() looked"
    page = history(user.wallet_id, before=_before(request))
    wallet = Account.objects.get(pk=user.wallet_id)
    path = reverse("dashboard:wallet", args=[token])
    context = {
        "paywall_name": user.paywall.name,
        "currency": wallet.currency,
        "balance": format_nanos(wallet.posted),
        "held": format_nanos(wallet.held) if wallet.held else "",
        "owed": format_nanos(wallet.owed) if wallet.owed else "",
        "rows": [_row(line) for line in page.items],
        "totals": None if "before" in request.GET else _totals(user),
        "topup_url": links.checkout_url(user.pk),
        "refill_url": reverse("dashboard:wallet-refill", args=[token]),
        "has_refills": refill_rules.is_shown(user),
        "older_url": f"{path}?before={page.next}#activity" if page.next else "",
    }
    return kept_private(render(request, "wallet.html", context))


def visitor(request: HttpRequest, token: str) -> EndUser | HttpResponse:
    """Who the link names; or what to answer, once it is not good any more.

    Raises: Http404 for a link that is not ours.
    """
    found = links.read_wallet_token(token)
    user = found and EndUser.objects.select_related("paywall").filter(pk=found[0]).first()
    if not found or not user or user.erased_at or user.wallet_id is None:
        raise Http404
    if clock.now() > found[1]:
        gone = render(request, "expired.html", {"paywall_name": user.paywall.name}, status=410)
        return kept_private(gone)
    return user


def _before(request: HttpRequest) -> int | None:
    text = request.GET.get("before")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(CURSOR_MAX))):
        raise Http404
    return min(int(text), CURSOR_MAX)


def _row(line: HistoryLine) -> Row:
    return Row(
        line=line,
        name=NAMES[line.kind],
        amount=format_nanos(line.amount_nanos),
        receipt_url=links.receipt_url(line.transaction_id),
    )


def _totals(user: EndUser) -> list[tuple[str, str, str, int]]:
    """What, its name, its sum, its requests."""
    found = totals(user.pk)
    return [
        (what, each.name, format_nanos(each.charged_nanos), each.requests)
        for what, members in (("Run", found.runs), ("Feature", found.features))
        for each in members
    ]


def _item(item: Item) -> dict[str, str]:
    rate = "" if item.rate is None else format_nanos(item.rate)
    per = " per million" if item.per == TOKENS_PER_RATE else ""
    return {
        "name": NAMES[item.name],
        "count": "" if item.count is None else f"{item.count:,}",
        "rate": rate + per,
        "amount": item.amount,
    }
