"""Who is signed in: a cookie of our own, apart from that of developers and staff."""

import re
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, Final
from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.cache import patch_vary_headers

from config.kit import limits
from paywalls import logins
from paywalls.models import Person, PersonSession

PREFIX: Final = "__Host-" if settings.IS_HTTPS else ""
"""Browsers keep such a cookie only if no other host can have set it; they want HTTPS for it."""

SESSION: Final = f"{PREFIX}person"
ASKING: Final = f"{PREFIX}person-login"
"""What the browser that asks for a code holds until the code is entered."""

DAY_S: Final = 86_400
NEXT: Final = re.compile(r"/(?:authorize/[\w-]{1,120}|wallet(?:/[\w-]{1,60}){0,3})(?:\?test=1)?")
BROWSERS: Final = (
    ("Edg", "Edge"),
    ("OPR", "Opera"),
    ("SamsungBrowser", "Samsung Internet"),
    ("Firefox", "Firefox"),
    ("FxiOS", "Firefox"),
    ("CriOS", "Chrome"),
    ("Chrome", "Chrome"),
    ("Safari", "Safari"),
)
SYSTEMS: Final = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X", "Mac"),
    ("Linux", "Linux"),
)

type Page = Callable[Concatenate[HttpRequest, Person, ...], HttpResponse]
type View = Callable[..., HttpResponse]


def signed_in(page: Page) -> View:
    """A page for who is signed in and has accepted the terms; others are sent there first."""

    @wraps(page)
    def view(request: HttpRequest, **parts: Any) -> HttpResponse:
        session = session_of(request)
        if session is None:
            return kept(to_login(request))
        if needs_terms(session.person):
            return kept(_away("dashboard:person-terms", request.get_full_path()))
        return kept(page(request, session.person, **parts))

    return view


def session_of(request: HttpRequest) -> PersonSession | None:
    """The session of the request's cookie, while it is good."""
    return logins.find_session(request.COOKIES.get(SESSION, ""))


def needs_terms(person: Person) -> bool:
    """Whether the operator's terms, or their newest version, are not accepted yet."""
    return bool(settings.TERMS_URL) and person.terms_version != settings.TERMS_VERSION


def to_login(request: HttpRequest) -> HttpResponse:
    """To the page that asks for an address, which leads back here."""
    return _away("dashboard:person-login", request.get_full_path())


def _away(name: str, path: str) -> HttpResponse:
    query = f"?{urlencode({'next': path})}" if NEXT.fullmatch(path) else ""
    return see_other(reverse(name) + query)


def read_next(text: str) -> str:
    """Where to go afterwards, if it is one of our pages; else empty."""
    return text if NEXT.fullmatch(text) else ""


def see_other(path: str) -> HttpResponse:
    """A redirect that is fetched by GET, also after a form."""
    return HttpResponseRedirect(path, status=303)


def kept(response: HttpResponse) -> HttpResponse:
    """The page as one that nobody indexes or keeps.

    Not without a referrer, as a page behind a bare link: then browsers send forms from nowhere
    (`Origin: null`), which the check against forged requests refuses.
    """
    response["X-Robots-Tag"] = "noindex, nofollow"
    response["Referrer-Policy"] = "same-origin"
    response["Cache-Control"] = "no-store"
    patch_vary_headers(response, ["Cookie"])
    return response


def show(
    request: HttpRequest, template: str, facts: dict[str, Any], *, status: int = 200
) -> HttpResponse:
    """A page with what every one of them shows."""
    everywhere = {"contact": settings.CONTACT_EMAIL, "terms_url": settings.TERMS_URL}
    return render(request, f"people/{template}.html", everywhere | facts, status=status)


def sign_in(response: HttpResponse, token: str) -> None:
    """Give the session to the browser."""
    _set(response, SESSION, token, limits.PERSON_SESSION_DAYS * DAY_S)
    response.delete_cookie(ASKING, samesite="Lax")


def remember_asking(response: HttpResponse, browser: str) -> None:
    """Mark the browser in which the code counts."""
    _set(response, ASKING, browser, limits.LOGIN_CODE_S)


def forget(response: HttpResponse) -> None:
    """Take the session's cookie back."""
    response.delete_cookie(SESSION, samesite="Lax")


def _set(response: HttpResponse, name: str, value: str, seconds: int) -> None:
    response.set_cookie(
        name, value, max_age=seconds, secure=settings.IS_HTTPS, httponly=True, samesite="Lax"
    )


def address_of(request: HttpRequest) -> str:
    """The internet address that the request came from."""
    return str(request.META.get("REMOTE_ADDR", ""))


def browser_of(request: HttpRequest) -> str:
    """The browser as its owner knows it, such as `Firefox on Linux`."""
    agent = request.headers.get("User-Agent", "")
    browser = next((name for sign, name in BROWSERS if sign in agent), "A browser")
    system = next((name for sign, name in SYSTEMS if sign in agent), "")
    return f"{browser} on {system}" if system else browser


def is_looking_ahead(request: HttpRequest) -> bool:
    """Whether a browser loads this before anybody has clicked.

    Source: fetch.spec.whatwg.org, `Sec-Purpose`; the others are what older browsers send.
    """
    said = (request.headers.get(name, "") for name in ("Sec-Purpose", "Purpose", "X-Moz"))
    return any("prefetch" in each or "preview" in each for each in said)
