"""The page behind the link in an assistant's message asks: may this app spend from my wallet.

Looking changes nothing. Each view of the page carries its own single-use approval, good for a few
minutes and for this person alone; only sending it with the button allows anything.
"""

from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from billing import persons as books
from billing.fees import fee_in_force
from config.kit.errors import InvalidRequestError
from config.kit.money import NANOS
from dashboard.views.people import words
from dashboard.views.people.access import is_looking_ahead, see_other, show, signed_in
from paywalls import grants, links, notices
from paywalls.errors import GrantClosedError
from paywalls.grants import GrantTerms
from paywalls.models import Grant, GrantRequest, Person

SUGGESTED: Final = GrantTerms(
    cap_nanos=5 * NANOS, cap_period="month", request_most_nanos=None, ends_at=None
)
REASON_CHARS_MAX: Final = 200


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def ask(request: HttpRequest, person: Person, token: str) -> HttpResponse:
    """Who asks, for what and how much; then yes or no.

    Raises: Http404 for a link that is not ours.
    """
    wish = grants.find_request(token)
    if wish is None:
        raise Http404
    try:
        return _asked(request, person, wish, token)
    except GrantClosedError as error:
        facts = {"person": person, **_app(wish), "problem": error.message}
        return show(request, "gone", facts, status=error.status)


def _asked(request: HttpRequest, person: Person, wish: GrantRequest, token: str) -> HttpResponse:
    """Raises: GrantClosedError."""
    standing = _standing(wish)
    if standing is not None and standing.person_id != person.pk:
        return show(request, "taken", {"person": person, **_app(wish)}, status=409)
    if standing is not None:
        return see_other(_done_path(token) if request.method == "POST" else _app_path(standing))
    if request.method != "POST":
        if is_looking_ahead(request):
            return HttpResponse(status=503)
        return _page(request, person, wish, words.form_of(SUGGESTED))
    if request.POST.get("do") == "decline":
        return _declined(request, person, wish)
    return _allowed(request, person, wish, token)


def _allowed(request: HttpRequest, person: Person, wish: GrantRequest, token: str) -> HttpResponse:
    number, ppm = _fee()
    if request.POST.get("fee") != str(number):
        problem = InvalidRequestError("The platform's fee has changed: look at it again.")
        return _again(request, person, wish, problem)
    consent = {
        "app": wish.paywall.name,
        "team": wish.paywall.team.name,
        "fee_number": number,
        "fee_ppm": ppm,
        "terms_version": person.terms_version,
    }
    try:
        terms = words.terms_of(request.POST)
        with transaction.atomic(durable=True):
            grant = grants.approve(request.POST.get("approval", ""), person, terms, consent=consent)
            _tell(grant, person)
    except InvalidRequestError as error:
        return _again(request, person, wish, error)
    return see_other(_done_path(token))


def _again(
    request: HttpRequest, person: Person, wish: GrantRequest, error: InvalidRequestError
) -> HttpResponse:
    """The page as it was sent, with what is wrong and a new approval."""
    fields = words.sent_form(request.POST)
    return _page(request, person, wish, fields, error=error, status=422)


def _declined(request: HttpRequest, person: Person, wish: GrantRequest) -> HttpResponse:
    with transaction.atomic(durable=True):
        grants.decline(wish, person, request.POST.get("reason", "").strip()[:REASON_CHARS_MAX])
    return show(request, "declined", {"person": person, **_app(wish)})


@require_safe
@signed_in
def done(request: HttpRequest, person: Person, token: str) -> HttpResponse:
    """It is allowed: the way back, and where to change it.

    Raises: Http404 for a link that is not ours.
    """
    wish = grants.find_request(token)
    if wish is None:
        raise Http404
    standing = _standing(wish)
    if standing is None or standing.person_id != person.pk:
        return see_other(reverse("dashboard:authorize", args=[token]))
    purse = books.purse(person.pk, livemode=standing.livemode, currency=standing.paywall.currency)
    facts = {
        "person": person,
        **_app(wish),
        "cap": words.money(standing.cap, standing.paywall.currency),
        "period": words.PERIODS[standing.cap_period],
        "is_empty": purse.free_nanos <= 0,
        "app_url": _app_path(standing),
    }
    return show(request, "allowed", facts)


def _page(
    request: HttpRequest,
    person: Person,
    wish: GrantRequest,
    fields: dict[str, str],
    *,
    error: InvalidRequestError | None = None,
    status: int = 200,
) -> HttpResponse:
    currency = wish.paywall.currency
    purse = books.purse(person.pk, livemode=wish.end_user.livemode, currency=currency)
    approval = "" if request.method == "HEAD" else _minted(wish, person)
    number, ppm = _fee()
    facts: dict[str, Any] = {
        "person": person,
        **_app(wish),
        "approval": approval,
        "fields": fields,
        "periods": words.CHOICES.items(),
        "currency": currency,
        "balance": words.money(purse.free_nanos, currency),
        "fee_number": number,
        "fee": words.percent(ppm),
        "others": _others(wish, person),
        "problem": error.message if error else "",
        "wrong": words.field_of(error) if error else "",
    }
    return show(request, "authorize", facts, status=status)


def _minted(wish: GrantRequest, person: Person) -> str:
    with transaction.atomic(durable=True):
        return grants.mint(wish, person)


def _app(wish: GrantRequest) -> dict[str, Any]:
    return {
        "app": wish.paywall.name,
        "about": wish.paywall.description,
        "team": wish.paywall.team.name,
        "user": wish.end_user.external_id,
        "is_test": not wish.end_user.livemode,
    }


def _fee() -> tuple[int, int]:
    """Number and millionths of the platform's fee that holds now; 0 and 0 while none is set."""
    fee = fee_in_force()
    return (fee.number, fee.ppm) if fee else (0, 0)


def _others(wish: GrantRequest, person: Person) -> list[str]:
    """Accounts of this app that this wallet pays for already: a stranger's link stands out."""
    found = Grant.objects.filter(
        person=person, paywall=wish.paywall, livemode=wish.end_user.livemode, revoked_at=None
    )
    return list(found.values_list("end_user__external_id", flat=True)[:5])


def _standing(wish: GrantRequest) -> Grant | None:
    """Who pays for this user now; one that is past its end makes room for another."""
    found = grants.standing(wish.end_user)
    return found if found and not words.is_over(found) else None


def _tell(grant: Grant, person: Person) -> None:
    """A mail, in case it was somebody else at this person's browser."""
    facts = {
        "app": grant.paywall.name,
        "team": grant.paywall.team.name,
        "user": grant.end_user.external_id,
        "cap": words.money(grant.cap, grant.paywall.currency),
        "period": words.PERIODS[grant.cap_period],
        "is_test": not grant.livemode,
        "revoke_url": links.revoke_url(grant.pk),
        "app_url": settings.BASE_URL + _app_path(grant),
    }
    notices.tell_person(person, "allowed", facts)


def _app_path(grant: Grant) -> str:
    return reverse("dashboard:person-app", args=[grant.public_id])


def _done_path(token: str) -> str:
    return reverse("dashboard:authorize-done", args=[token])
