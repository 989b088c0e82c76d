"""One app that a person allows: its terms, what it used, and the ways to change or stop it."""

from collections.abc import Callable
from typing import Any, Final

from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from config.kit import ids
from config.kit.errors import InvalidRequestError
from dashboard.views.people import words
from dashboard.views.people.access import see_other, show, signed_in
from dashboard.views.people.home import card, purse_of
from paywalls import grants, links
from paywalls.models import Grant, Person

SAID: Final = {
    "change": "Saved. It holds from the next request on.",
    "pause": "Paused. Nothing is spent until you resume it.",
    "resume": "Resumed.",
    "revoke": "Stopped. The app has to ask again.",
}


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def index(request: HttpRequest, person: Person, grant_id: str) -> HttpResponse:
    """Shows an app and takes what is to become of it.

    Raises: Http404 for what is no app of this person.
    """
    grant = _grant(person, grant_id)
    if request.method == "POST":
        return _done(request, person, grant)
    return _page(request, person, grant, said=SAID.get(request.GET.get("said", ""), ""))


def _done(request: HttpRequest, person: Person, grant: Grant) -> HttpResponse:
    wish = request.POST.get("do", "")
    actions: dict[str, Callable[[], object]] = {
        "change": lambda: grants.change(grant, person, words.terms_of(request.POST)),
        "pause": lambda: grants.pause(grant, person),
        "resume": lambda: grants.resume(grant, person),
        "revoke": lambda: grants.revoke(grant, actor=person.public_id),
    }
    if wish not in actions:
        problem = InvalidRequestError("Choose what to do with one of the buttons.")
        return _page(request, person, grant, error=problem)
    try:
        with transaction.atomic(durable=True):
            actions[wish]()
    except InvalidRequestError as error:
        return _page(request, person, grant, error=error)
    path = reverse("dashboard:person-app", args=[grant.public_id])
    return see_other(f"{path}?said={wish}")


def _page(
    request: HttpRequest,
    person: Person,
    grant: Grant,
    *,
    said: str = "",
    error: InvalidRequestError | None = None,
) -> HttpResponse:
    granted = grants.with_spent([grant])[0]
    purse = purse_of(person, is_test=not grant.livemode)
    is_resent = error is not None and request.POST.get("do") == "change"
    fields = words.sent_form(request.POST) if is_resent else words.form_of(words.terms_kept(grant))
    facts: dict[str, Any] = {
        "person": person,
        "is_test": not grant.livemode,
        "app": card(granted),
        "fields": fields,
        "periods": words.CHOICES.items(),
        "currency": grant.paywall.currency,
        "said": said,
        "is_empty": purse.free_nanos <= 0,
        "ask_url": links.authorize_url(grant.end_user_id),
        "problem": error.message if error else "",
        "wrong": words.field_of(error) if error else "",
    }
    return show(request, "app", facts, status=422 if error else 200)


def _grant(person: Person, text: str) -> Grant:
    grant_id = ids.decode("grt", text)
    found = grant_id and (
        Grant.objects.select_related("paywall__team", "end_user")
        .filter(pk=grant_id, person=person)
        .first()
    )
    if not found:
        raise Http404
    return found
