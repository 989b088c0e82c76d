"""The operator's terms: accepted on purpose, before anything else, on record."""

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from dashboard.views.people.access import (
    kept,
    needs_terms,
    read_next,
    see_other,
    session_of,
    show,
    to_login,
)
from paywalls import persons
from paywalls.models import Person


@require_http_methods(["GET", "HEAD", "POST"])
def accept(request: HttpRequest) -> HttpResponse:
    """Shows where the terms are and takes the yes."""
    session = session_of(request)
    if session is None:
        return kept(to_login(request))
    sent = request.POST if request.method == "POST" else request.GET
    next_path = read_next(sent.get("next", ""))
    if needs_terms(session.person):
        if request.method != "POST":
            return kept(_page(request, session.person, next_path))
        if problem := _missing(request):
            page = _page(request, session.person, next_path, problem=problem, status=422)
            return kept(page)
        with transaction.atomic(durable=True):
            persons.accept_terms(session.person, settings.TERMS_VERSION)
    return kept(see_other(next_path or reverse("dashboard:person-home")))


def _missing(request: HttpRequest) -> str:
    if request.POST.get("version") != settings.TERMS_VERSION:
        return "The terms have changed meanwhile: read them again."
    if request.POST.get("accept") != "yes":
        return "Tick the box if you agree to the terms; without them there is no wallet."
    return ""


def _page(
    request: HttpRequest, person: Person, next_path: str, *, problem: str = "", status: int = 200
) -> HttpResponse:
    facts = {
        "person": person,
        "next": next_path,
        "version": settings.TERMS_VERSION,
        "has_accepted": bool(person.terms_version),
        "problem": problem,
    }
    return show(request, "terms", facts, status=status)
