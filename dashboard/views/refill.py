"""The page on which people let a saved card keep their balance up, and end it again.

It has two doors. The link of a message is good for ever and may be passed on, so behind it a card
is always entered anew at Stripe; from the wallet's page, which is personal and good for an hour, a
card that is saved already may be used. The token in either address is what a form would otherwise
prove with a CSRF token: nobody else can know it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from ipaddress import ip_address
from typing import Any

import structlog
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_safe

from billing.stripe import agreements, cards, orders, pace, refill_rules, setups
from billing.stripe.errors import StripeFailedError
from billing.stripe.models import Customer, StripeAccount
from billing.stripe.refill_models import RefillAgreement
from billing.stripe.refill_words import WORDING, Bounds, Wish, read, words_of
from config.kit.errors import InvalidRequestError
from config.kit.money import format_nanos
from dashboard.views import pay, wallet
from dashboard.views.private import kept_private
from ledger.models import Account
from paywalls import links
from paywalls.models import EndUser

log = structlog.get_logger(__name__)

MOST_TIMES = 5
"""The most of a month is first offered as so many top-ups."""

FIELDS = ("below", "amount", "most")


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """Who came, by which door, and what there is for them."""

    user: EndUser
    page: str
    path: str
    back_url: str
    account: StripeAccount

    @property
    def customer(self) -> Customer | None:
        found = Customer.objects.select_related("account__paywall", "user__paywall")
        return found.filter(account=self.account, user=self.user).first()


type Work = Callable[[HttpRequest, Visit], HttpResponse]
type View = Callable[..., HttpResponse]


def _by_pay_link(work: Work) -> View:
    @pay.page_of_user
    def view(request: HttpRequest, user: EndUser, token: str) -> HttpResponse:
        path = reverse("dashboard:pay-refill", args=[token])
        back = f"{reverse('dashboard:pay', args=[token])}?choose=1"
        return work(request, _visit(user, page="pay", path=path, back_url=back))

    return view


def _by_wallet_link(work: Work) -> View:
    @wraps(work)
    def view(request: HttpRequest, token: str) -> HttpResponse:
        user = wallet.visitor(request, token)
        if isinstance(user, HttpResponse):
            return user
        path = reverse("dashboard:wallet-refill", args=[token])
        back = reverse("dashboard:wallet", args=[token])
        visit = _visit(user, page="wallet", path=path, back_url=back)
        return kept_private(work(request, visit))

    return view


def _visit(user: EndUser, **door: str) -> Visit:
    """Raises: Http404 where nothing of the kind is offered, or was."""
    account = orders.account_of(user.paywall, livemode=user.livemode)
    if account is None or user.blocked_at or not refill_rules.is_shown(user):
        raise Http404
    return Visit(user=user, account=account, **door)


def _show(request: HttpRequest, visit: Visit) -> HttpResponse:
    """What was agreed to, or the way to agree: amounts first, then the words, then a card."""
    if request.method == "POST":
        return _act(request, visit)
    _look_for_card(request, visit)
    if not any(name in request.GET for name in FIELDS):
        return _page(request, visit)
    try:
        wish = _wish(visit, request.GET)
    except InvalidRequestError as error:
        return _page(request, visit, problem=error, status=422)
    return _page(request, visit, wish=wish)


def _card(request: HttpRequest, visit: Visit) -> HttpResponse:
    """To Stripe's page that saves the card: with a payment, where the balance is low already."""
    customer = visit.customer
    agreement = agreements.live_of(customer)
    is_waiting = agreement and agreement.status == RefillAgreement.Status.WAITING
    is_looking = request.method == "HEAD" or pay.is_prefetch(request)
    if customer is None or agreement is None or not is_waiting or is_looking:
        return redirect(visit.path)
    agreement.customer = customer
    assert visit.user.wallet_id is not None, "no refills in Shared mode"
    level = refill_rules.level_of(Account.objects.get(pk=visit.user.wallet_id))
    try:
        if level < agreement.below_nanos:
            return _pay_first(visit, agreement)
        back = f"{settings.BASE_URL}{visit.path}"
        url = setups.page_that_saves(agreement, back_to=back)
    except StripeFailedError as error:
        return pay.trouble(request, visit.user, error)
    except InvalidRequestError as error:
        return _page(request, visit, problem=error, status=422)
    return HttpResponseRedirect(url, status=303)


def _pay_first(visit: Visit, agreement: RefillAgreement) -> HttpResponse:
    """Raises: InvalidRequestError."""
    terms = orders.terms_of(orders.settings_of(visit.user.paywall))
    draft = replace(orders.topup(terms, agreement.amount_nanos), saves_card=True)
    order = orders.start(visit.user, draft)
    token = links.checkout_token(visit.user.pk)
    return redirect(reverse("dashboard:pay-go", args=[token, order.public_id]))


def _act(request: HttpRequest, visit: Visit) -> HttpResponse:
    customer = visit.customer
    match request.POST.get("action"):
        case "agree":
            return _agree(request, visit)
        case "off" if customer:
            agreements.switch_off(customer)
        case "forget" if customer:
            try:
                cards.forget(customer)
            except StripeFailedError as error:
                return pay.trouble(request, visit.user, error)
    return redirect(visit.path)


def _agree(request: HttpRequest, visit: Visit) -> HttpResponse:
    current = agreements.live_of(visit.customer)
    if current and current.status == RefillAgreement.Status.ON:
        return redirect(visit.path)  # It is ended first, by its own button.
    try:
        wish = _wish(visit, request.POST)
    except InvalidRequestError as error:
        return _page(request, visit, problem=error, status=422)
    if request.POST.get("wording") != str(WORDING) or not refill_rules.is_offered(
        visit.user.paywall
    ):
        return _page(request, visit, wish=wish)  # The words have changed: once more.
    try:
        customer = cards.customer_of(visit.account, visit.user)
    except StripeFailedError as error:
        return pay.trouble(request, visit.user, error)
    is_saved = visit.page == "wallet" and bool(customer.payment_method_id)
    uses_saved_card = is_saved and request.POST.get("card") == "saved"
    agreements.agree(
        customer,
        wish,
        page=visit.page,
        address=_address(request),
        uses_saved_card=uses_saved_card,
    )
    return redirect(visit.path if uses_saved_card else f"{visit.path}/card")


def _look_for_card(request: HttpRequest, visit: Visit) -> None:
    """Asks Stripe itself, in case the news of the card has not come yet."""
    agreement = agreements.live_of(visit.customer)
    is_waiting = agreement and agreement.status == RefillAgreement.Status.WAITING
    if not (agreement and is_waiting and agreement.session_id and request.method == "GET"):
        return
    if pace.try_take(visit.account):
        try:
            cards.look(agreement)
        except StripeFailedError as error:
            log.warning("card.look_failed", agreement=agreement.public_id, error=error.code)


def _wish(visit: Visit, given: Any) -> Wish:
    """Raises: InvalidRequestError."""
    below, amount, most = (given.get(name, "") for name in FIELDS)
    bounds = refill_rules.bounds_of(visit.user.paywall)
    return read(bounds, below=below, amount=amount, most=most)


def _page(
    request: HttpRequest,
    visit: Visit,
    *,
    wish: Wish | None = None,
    problem: InvalidRequestError | None = None,
    status: int = 200,
) -> HttpResponse:
    paywall, customer = visit.user.paywall, visit.customer
    agreement = agreements.live_of(customer)
    bounds = refill_rules.bounds_of(paywall)
    words = wish and words_of(wish, name=paywall.name, currency=paywall.currency)
    context = {
        "paywall_name": paywall.name,
        "path": visit.path,
        "back_url": visit.back_url,
        "is_offered": refill_rules.is_offered(paywall),
        "agreement": agreement,
        "card": _shown(customer),
        "may_use_card": visit.page == "wallet",
        "trouble": "" if agreement else agreements.last_trouble(customer),
        "words": words,
        "wording": WORDING,
        "fields": _typed(request, bounds) if not wish else _of(wish),
        "currency": bounds.currency,
        "least": bounds.shown(bounds.least_nanos),
        "most": bounds.shown(bounds.most_nanos),
        "problem": problem.message if problem else "",
        "wrong": problem.param if problem else "",
    }
    return render(request, "pay/refill.html", context, status=status)


def _typed(request: HttpRequest, bounds: Bounds) -> dict[str, str]:
    """What the person typed, or amounts to begin with."""
    first = bounds.first_nanos
    usual = Wish(below_nanos=first // 2, amount_nanos=first, month_most_nanos=MOST_TIMES * first)
    given = request.POST if request.method == "POST" else request.GET
    return {name: given.get(name, value) for name, value in _of(usual).items()}


def _of(wish: Wish) -> dict[str, str]:
    return {
        "below": format_nanos(wish.below_nanos),
        "amount": format_nanos(wish.amount_nanos),
        "most": format_nanos(wish.month_most_nanos),
    }


def _shown(customer: Customer | None) -> str:
    """The saved card as people know it: `Visa ending in 4242`."""
    if customer is None or not customer.payment_method_id:
        return ""
    return f"{customer.card_brand.title()} ending in {customer.card_last_four}"


def _address(request: HttpRequest) -> str | None:
    """Where the request came from; None behind a socket that has no address."""
    try:
        return str(ip_address(request.META.get("REMOTE_ADDR", "")))
    except ValueError:
        return None


_METHODS = require_http_methods(["GET", "HEAD", "POST"])
by_pay_link = csrf_exempt(_METHODS(_by_pay_link(_show)))
by_wallet_link = csrf_exempt(_METHODS(_by_wallet_link(_show)))
card_by_pay_link = require_safe(_by_pay_link(_card))
card_by_wallet_link = require_safe(_by_wallet_link(_card))
