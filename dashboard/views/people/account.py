"""A person's account: where they are signed in, the terms, and closing it for good."""

import datetime as dt
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from billing import persons as books
from billing.persons import Purse
from billing.stripe.models import Order
from billing.stripe.person_models import PersonOrder
from config.kit import clock
from dashboard.views.people import words
from dashboard.views.people.access import (
    forget,
    kept,
    see_other,
    session_of,
    show,
    signed_in,
    to_login,
)
from paywalls import grants, logins, persons
from paywalls.models import Person, PersonSession

ARRIVES: Final = dt.timedelta(days=1)
"""How long somebody can still pay on a page of Stripe that was opened."""


class NotEmptyError(Exception):
    """Money came in between the look and the deed, or may come in after it."""


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def index(request: HttpRequest, person: Person) -> HttpResponse:
    """Sessions and terms; its form signs out one browser, or all."""
    here = session_of(request)
    assert here is not None, "a page for who is signed in"
    if request.method == "POST":
        return _signed_out(request, person)
    facts = {
        "person": person,
        "here": "account",
        "sessions": [
            {"id": str(each.pk), "row": each, "is_here": each.pk == here.pk}
            for each in logins.sessions_of(person)
        ],
        "terms_url": settings.TERMS_URL,
    }
    return show(request, "account", facts)


def _signed_out(request: HttpRequest, person: Person) -> HttpResponse:
    wish = request.POST.get("do")
    if wish == "everywhere":
        logins.end_all(person)
        response = see_other(reverse("dashboard:person-login"))
        forget(response)
        return response
    if wish == "one":
        for each in logins.sessions_of(person):
            if str(each.pk) == request.POST.get("session"):
                logins.end_session(each)
    return see_other(reverse("dashboard:person-account"))


@require_http_methods(["GET", "HEAD", "POST"])
def close(request: HttpRequest) -> HttpResponse:
    """Says what closing means, and does it when nothing is left. Terms need not be accepted."""
    session = session_of(request)
    if session is None:
        return kept(to_login(request))
    return kept(_closed(request, session))


def _closed(request: HttpRequest, session: PersonSession) -> HttpResponse:
    person = session.person
    if request.method != "POST":
        return _close_page(request, person)
    typed = request.POST.get("email", "").strip().lower()
    if typed != person.email:
        problem = "Write your address as it stands above, so that nothing happens by mistake."
        return _close_page(request, person, problem=problem)
    try:
        with transaction.atomic(durable=True):
            _forget(person)
    except NotEmptyError:
        return _close_page(request, person, problem="There is money on this wallet.")
    response = show(request, "closed", {})
    forget(response)
    return response


def _forget(person: Person) -> None:
    """Stops every app, makes sure that nothing is left, and forgets the person.

    Raises: NotEmptyError, so that nothing of it happens.
    """
    for livemode in (True, False):
        for each in grants.grants_of(person, livemode=livemode):
            grants.revoke(each.grant, actor=person.public_id)
    if not _purse(person).is_empty or _is_paying(person):
        raise NotEmptyError
    persons.close(person)


def _close_page(request: HttpRequest, person: Person, *, problem: str = "") -> HttpResponse:
    purse, is_paying = _purse(person), _is_paying(person)
    can_close = purse.is_empty and not is_paying
    facts: dict[str, Any] = {
        "person": person,
        "here": "account",
        "can_close": can_close,
        "is_paying": is_paying,
        "money": words.money(purse.free_nanos, purse.currency) if purse.free_nanos else "",
        "held": words.money(purse.held_nanos, purse.currency) if purse.held_nanos else "",
        "owed": words.money(purse.owed_nanos, purse.currency) if purse.owed_nanos else "",
        "problem": problem,
    }
    status = 200 if request.method != "POST" else 422 if can_close else 409
    return show(request, "close", facts, status=status)


def _is_paying(person: Person) -> bool:
    """Whether a payment is on its way, or could still be made: it would find nobody."""
    begun = PersonOrder.objects.filter(person=person, livemode=True, session_id__isnull=False)
    still_open = Q(status=Order.Status.OPEN, created_at__gt=clock.now() - ARRIVES)
    return begun.filter(Q(status=Order.Status.PENDING) | still_open).exists()


def _purse(person: Person) -> Purse:
    return books.purse(person.pk, livemode=True, currency=settings.PLATFORM_CURRENCY)
