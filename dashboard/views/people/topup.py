"""Filling a wallet: choose an amount, pay at Stripe, see it arrive."""

from contextlib import suppress
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from billing.stripe import amounts, person_orders, platform
from billing.stripe.errors import StripeFailedError
from billing.stripe.models import Order
from billing.stripe.person_models import PersonOrder
from billing.withdrawals.errors import PayoutsUnavailableError
from config.kit import ids
from config.kit.errors import InvalidRequestError, PaywallsError
from config.kit.money import parse_nanos
from dashboard.views.people.access import see_other, show, signed_in
from paywalls.models import Person


def can_top_up(*, is_test: bool) -> bool:
    """Whether the operator takes payments for such a wallet."""
    return (not is_test) in platform.modes()


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def index(request: HttpRequest, person: Person) -> HttpResponse:
    """The amounts; what was chosen leads to Stripe."""
    is_test = "test" in request.GET
    if request.method != "POST":
        return _page(request, person, is_test=is_test)
    typed = request.POST.get("other", "").strip() or request.POST.get("amount", "")
    nanos = parse_nanos(typed)
    if not nanos:
        problem = "Write an amount above 0, such as 12.50."
        return _page(request, person, is_test=is_test, problem=problem, status=422)
    try:
        order = person_orders.start(person, nanos, livemode=not is_test)
    except InvalidRequestError as error:
        return _page(request, person, is_test=is_test, problem=error.message, status=422)
    except (StripeFailedError, PayoutsUnavailableError):
        problem = "Payments do not work at this moment. Nothing was charged; try again later."
        return _page(request, person, is_test=is_test, problem=problem, status=503)
    if order.status == Order.Status.OPEN and order.session_url:
        return see_other(order.session_url)
    return see_other(reverse("dashboard:person-order", args=[order.public_id]))


@require_safe
@signed_in
def follow(request: HttpRequest, person: Person, order_id: str) -> HttpResponse:
    """What became of an order.

    Raises: Http404 for what is no order of this person.
    """
    value = ids.decode("ord", order_id)
    order = PersonOrder.objects.filter(pk=value, person=person).first() if value else None
    if order is None:
        raise Http404
    # Else what was known last is shown; the worker asks again.
    with suppress(PaywallsError):
        order = person_orders.follow(order)
    facts = {
        "person": person,
        "is_test": not order.livemode,
        "amount": amounts.shown(order.credit_nanos, order.currency),
        "status": order.status,
        "pay_url": order.session_url if order.status == Order.Status.OPEN else "",
        "receipt_url": order.receipt_url,
    }
    return show(request, "order", facts)


def _page(
    request: HttpRequest, person: Person, *, is_test: bool, problem: str = "", status: int = 200
) -> HttpResponse:
    currency = settings.PLATFORM_CURRENCY
    offered = amounts.suggestions(currency)
    facts: dict[str, Any] = {
        "person": person,
        "is_test": is_test,
        "is_open": can_top_up(is_test=is_test),
        "amounts": [
            (amounts.shown(each, currency).split()[0], amounts.shown(each, currency))
            for each in offered
        ],
        "currency": currency,
        "other": request.POST.get("other", "")[:20],
        "problem": problem,
    }
    return show(request, "topup", facts, status=status)
