"""The pages behind the link in an assistant's message: choose, pay at Stripe, see it arrive.

Whoever has the link may pay; it shows no balance and no name of the user. The token in the address
is what a form would otherwise prove with a CSRF token: nobody else can know it.
"""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, Final

import structlog
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_safe

from billing.stripe import amounts, checkout, orders, pace, promo_tries, promos, refill_rules
from billing.stripe.catalog import Pack, Plan
from billing.stripe.errors import StripeBusyError, StripeFailedError
from billing.stripe.fulfil import fulfil
from billing.stripe.models import Order
from config.kit import ids
from config.kit.errors import InvalidRequestError
from config.kit.money import parse_nanos
from dashboard.views.private import kept_private
from paywalls.links import read_checkout_token
from paywalls.models import EndUser

log = structlog.get_logger(__name__)

RETRY_S: Final = 3
FOLLOW_S: Final = 2
UNFINISHED: Final = frozenset({Order.Status.OPEN, Order.Status.PENDING})

type Page = Callable[Concatenate[HttpRequest, EndUser, ...], HttpResponse]
type View = Callable[..., HttpResponse]


def page_of_user(page: Page) -> View:
    """A page for the user that its address names, which nobody indexes, keeps or passes on."""

    @wraps(page)
    def view(request: HttpRequest, token: str, **parts: str) -> HttpResponse:
        user_id = read_checkout_token(token)
        known = EndUser.objects.select_related("paywall").filter(pk=user_id) if user_id else None
        user = known and known.first()
        if not user:
            raise Http404
        return kept_private(page(request, user, token, **parts))

    return view


@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
@page_of_user
def show(request: HttpRequest, user: EndUser, token: str) -> HttpResponse:
    """To Stripe at once where there is nothing to choose; else the choices.

    Raises: Http404 for a link that is not ours.
    """
    account = orders.account_of(user.paywall, livemode=user.livemode)
    if account is None or user.blocked_at or user.erased_at:
        return _unavailable(request, user)
    if request.method == "POST":
        return _chosen(request, user, token)
    sold = orders.sold(user.paywall)
    is_direct = not (sold.must_choose or sold.packs or sold.plans or "choose" in request.GET)
    if is_direct and request.method == "GET" and not is_prefetch(request):
        amount = sold.terms.suggested_nanos[0]
        return _to_stripe(
            request, user, token, lambda: checkout.click(user, orders.topup(sold.terms, amount))
        )
    return _choices(request, user, sold)


@require_safe
@page_of_user
def go(request: HttpRequest, user: EndUser, token: str, order_id: str) -> HttpResponse:
    """To Stripe's page of an order.

    Raises: Http404.
    """
    order = _order(user, order_id)
    is_payable = order.status == Order.Status.OPEN and order.kind != Order.Kind.REFILL
    if not is_payable or request.method == "HEAD" or is_prefetch(request):
        return redirect(_order_path(token, order))
    return _to_stripe(request, user, token, lambda: checkout.open_page(order))


@require_safe
@page_of_user
def follow(request: HttpRequest, user: EndUser, token: str, order_id: str) -> HttpResponse:
    """What became of an order; it asks Stripe itself, in case the news has not come.

    Raises: Http404.
    """
    order = _order(user, order_id)
    is_asking = order.status in UNFINISHED and order.session_id and request.method == "GET"
    if is_asking and pace.try_take(order.account):
        try:
            order = fulfil(order)
        except StripeFailedError as error:
            log.warning("order.follow_failed", order=order.public_id, error=error.code)
    context = {
        "paywall_name": user.paywall.name,
        "order": order,
        "reference": order.public_id,
        "credit": amounts.shown(order.credit_nanos + order.bonus_nanos, order.currency),
        "price": amounts.shown(amounts.to_nanos(order.price_minor, order.currency), order.currency),
        "follow_s": FOLLOW_S if order.status == Order.Status.OPEN else 0,
        "go_url": reverse("dashboard:pay-go", args=[token, order.public_id]),
        "choose_url": _choose_path(token),
        "refill_url": reverse("dashboard:pay-refill", args=[token]),
    }
    return render(request, "pay/order.html", context)


def _chosen(request: HttpRequest, user: EndUser, token: str) -> HttpResponse:
    """A form was sent: the order is made here, its session by the next page, which can retry."""
    sold = orders.sold(user.paywall)
    if "code" in request.POST:
        return _redeemed(request, user, sold)
    try:
        order = orders.start(user, _draft(request, sold))
    except InvalidRequestError as error:
        return _choices(request, user, sold, problem=error.message, status=422)
    return redirect(reverse("dashboard:pay-go", args=[token, order.public_id]))


def _redeemed(request: HttpRequest, user: EndUser, sold: orders.Sold) -> HttpResponse:
    try:
        credit = promos.redeem(user, request.POST["code"])
    except promos.PromoNotValidError as error:
        return _choices(request, user, sold, problem=error.message, status=422)
    except promo_tries.PromoTriesError as error:
        refused = _choices(request, user, sold, problem=error.message, status=error.status)
        refused["Retry-After"] = str(error.retry_after_s)
        return refused
    given = sold.in_credits(credit) or amounts.shown(credit, user.paywall.currency)
    return _choices(request, user, sold, news=f"{given} were added to your balance.")


def _draft(request: HttpRequest, sold: orders.Sold) -> orders.Draft:
    """Raises: InvalidRequestError."""
    drafts = [
        *((ids.encode("pack", row.pk), orders.pack(row)) for row in sold.packs),
        *((ids.encode("plan", row.pk), orders.plan(row)) for row in sold.plans),
    ]
    if chosen := request.POST.get("pack") or request.POST.get("plan"):
        found = dict(drafts).get(chosen)
        if found is None:
            raise orders.OrderNotPossibleError("This is not sold any more: choose again.")
        return found
    # People write a comma as well.
    text = request.POST.get("own") or request.POST.get("amount", "")
    nanos = parse_nanos(text.strip().replace(",", "."))
    if nanos is None:
        raise InvalidRequestError("Write an amount such as 12.50.", param="amount")
    return orders.topup(sold.terms, nanos)


def _to_stripe(
    request: HttpRequest, user: EndUser, token: str, work: Callable[[], Order]
) -> HttpResponse:
    try:
        order = work()
    except StripeFailedError as error:
        return trouble(request, user, error)
    except InvalidRequestError:
        return redirect(_choose_path(token))
    if order.status == Order.Status.OPEN and order.session_url:
        return HttpResponseRedirect(order.session_url, status=303)
    return redirect(_order_path(token, order))


def _choices(
    request: HttpRequest,
    user: EndUser,
    sold: orders.Sold,
    *,
    problem: str = "",
    news: str = "",
    status: int = 200,
) -> HttpResponse:
    currency = sold.terms.currency
    context = {
        "paywall_name": user.paywall.name,
        "currency": currency,
        "amounts": [
            (value, amounts.shown(nanos, currency), sold.in_credits(nanos))
            for nanos, value in sold.suggestions()
        ],
        "packs": [_offer(sold, "pack", row) for row in sold.packs],
        "plans": [_offer(sold, "plan", row) for row in sold.plans],
        "least": amounts.shown(sold.terms.least_nanos, currency),
        "most": amounts.shown(sold.terms.most_nanos, currency),
        "problem": problem,
        "news": news,
        "takes_codes": promos.are_there(user.paywall),
        "own": request.POST.get("own", ""),
        "path": request.path,
        "refill_url": f"{request.path}/refill" if refill_rules.is_shown(user) else "",
    }
    return render(request, "pay/choose.html", context, status=status)


def _offer(sold: orders.Sold, name: str, row: Pack | Plan) -> dict[str, str]:
    bonus = row.bonus_nanos if isinstance(row, Pack) else 0
    currency = row.currency
    return {
        "value": ids.encode(name, row.pk),
        "name": row.name,
        "price": amounts.shown(amounts.to_nanos(row.price_minor, currency), currency),
        "credit": sold.in_credits(row.credit_nanos) or amounts.shown(row.credit_nanos, currency),
        "bonus": (sold.in_credits(bonus) or amounts.shown(bonus, currency)) if bonus else "",
        "every": row.rhythm if isinstance(row, Plan) else "",
        "credit_every": row.credit_rhythm if isinstance(row, Plan) else "",
    }


def trouble(request: HttpRequest, user: EndUser, error: StripeFailedError) -> HttpResponse:
    """Payments do not work now. It tries again by itself where that can help."""
    is_busy = isinstance(error, StripeBusyError)
    context = {
        "paywall_name": user.paywall.name,
        "reference": ids.encode("usr", user.pk),
        "retry_s": (error.retry_after_s or RETRY_S) if is_busy else 0,
        "path": request.get_full_path(),
    }
    response = render(request, "pay/trouble.html", context, status=503)
    if is_busy:
        response["Retry-After"] = str(context["retry_s"])
    return response


def _unavailable(request: HttpRequest, user: EndUser) -> HttpResponse:
    context = {"paywall_name": user.paywall.name, "reference": ids.encode("usr", user.pk)}
    return render(request, "pay/checkout.html", context)


def _order(user: EndUser, text: str) -> Order:
    order_id = ids.decode("ord", text)
    found = order_id and Order.objects.filter(pk=order_id, user=user).exists()
    if not found or not order_id:
        raise Http404
    return orders.find(order_id)


def _order_path(token: str, order: Order) -> str:
    return reverse("dashboard:pay-order", args=[token, order.public_id])


def _choose_path(token: str) -> str:
    return f"{reverse('dashboard:pay', args=[token])}?choose=1"


def is_prefetch(request: HttpRequest) -> bool:
    """Browsers look ahead without anybody having clicked.

    Source: fetch.spec.whatwg.org, `Sec-Purpose`; the others are what older browsers send.
    """
    said = (request.headers.get(name, "") for name in ("Sec-Purpose", "Purpose", "X-Moz"))
    return any("prefetch" in each or "preview" in each for each in said)
