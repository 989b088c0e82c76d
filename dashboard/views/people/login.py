"""Signing in by mail: the address, then the code or the link. Every address is treated alike."""

from typing import Final

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import rotate_token
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_http_methods, require_POST

from config.kit import limits
from config.kit.errors import InvalidRequestError
from dashboard.views.people.access import (
    ASKING,
    address_of,
    browser_of,
    forget,
    kept,
    read_next,
    remember_asking,
    see_other,
    session_of,
    show,
    sign_in,
)
from paywalls import logins, notices

PAGE_METHODS: Final = ["GET", "HEAD", "POST"]
WAIT: Final = "That was often. Wait an hour, or use the mail that you have."
NOT_SENT: Final = "The mail could not be sent. Try again in a minute."
EXPIRED: Final = "That code does not count any more. Ask for a new one."


@require_http_methods(PAGE_METHODS)
def ask(request: HttpRequest) -> HttpResponse:
    """Asks for an address and mails it a code and a link."""
    if request.method == "POST":
        return kept(_asked(request))
    next_path = read_next(request.GET.get("next", ""))
    if session_of(request):
        return kept(see_other(next_path or reverse("dashboard:person-home")))
    return kept(_ask_page(request, next_path))


def _ask_page(
    request: HttpRequest, next_path: str, *, problem: str = "", status: int = 200
) -> HttpResponse:
    facts = {
        "next": next_path,
        "is_asked": next_path.startswith("/authorize/"),
        "email": request.POST.get("email", ""),
        "problem": problem,
        "can_send": notices.can_send(),
    }
    return show(request, "login", facts, status=status)


def _asked(request: HttpRequest) -> HttpResponse:
    next_path = read_next(request.POST.get("next", ""))
    try:
        email = logins.read_email(request.POST.get("email", ""))
    except InvalidRequestError as error:
        return _ask_page(request, next_path, problem=error.message, status=422)
    if not logins.may_ask(email, address_of(request)):
        return _ask_page(request, next_path, problem=WAIT, status=429)
    with transaction.atomic(durable=True):
        asked = logins.ask(email, next_path=next_path)
    facts = {
        "code": asked.code,
        "url": settings.BASE_URL + reverse("dashboard:person-link", args=[asked.link]),
        "minutes": limits.LOGIN_CODE_S // 60,
        "site": settings.BASE_URL,
    }
    if not notices.send_now(email, "login", facts):
        return _ask_page(request, next_path, problem=NOT_SENT, status=503)
    response = see_other(reverse("dashboard:person-code"))
    remember_asking(response, asked.browser)
    return response


@require_http_methods(PAGE_METHODS)
def enter_code(request: HttpRequest) -> HttpResponse:
    """Takes the code, in the browser that asked for it."""
    browser = request.COOKIES.get(ASKING, "")[: logins.TOKEN_CHARS_MAX]
    if request.method == "POST":
        return kept(_entered(request, browser))
    if logins.waiting(browser) is None:
        return kept(_ask_page(request, "", problem=EXPIRED, status=410))
    return kept(_code_page(request, browser))


def _entered(request: HttpRequest, browser: str) -> HttpResponse:
    if not logins.may_enter(address_of(request)):
        return _code_page(request, browser, problem=WAIT, status=429)
    with transaction.atomic(durable=True):
        entry = logins.enter_code(browser, request.POST.get("code", ""))
        if isinstance(entry, logins.SignedIn):
            return _welcome(request, entry)
    if isinstance(entry, logins.Wrong):
        tries = "one try is" if entry.tries_left == 1 else f"{entry.tries_left} tries are"
        problem = f"This is not the code of the newest mail; {tries} left."
        return _code_page(request, browser, problem=problem, status=422)
    return _ask_page(request, "", problem=EXPIRED, status=410)


def _code_page(
    request: HttpRequest, browser: str, *, problem: str = "", status: int = 200
) -> HttpResponse:
    asked = logins.waiting(browser)
    facts = {
        "email": asked.email if asked else "",
        "next_query": urlencode({"next": asked.next_path}) if asked and asked.next_path else "",
        "problem": problem,
        "mailbox_url": reverse("dashboard:mailbox") if settings.DEMO_MAILBOX else "",
    }
    return show(request, "code", facts, status=status)


@require_http_methods(PAGE_METHODS)
def follow_link(request: HttpRequest, token: str) -> HttpResponse:
    """The page behind a mailed link: only its button signs in, because mail is read by machines."""
    asked = logins.linked(token)
    if asked is None:
        return kept(_ask_page(request, "", problem=EXPIRED, status=410))
    if request.method != "POST":
        return kept(show(request, "link", {"email": asked.email}))
    browser = request.COOKIES.get(ASKING, "")[: logins.TOKEN_CHARS_MAX]
    with transaction.atomic(durable=True):
        entry = logins.enter_link(token, browser)
        if isinstance(entry, logins.SignedIn):
            return kept(_welcome(request, entry))
    return kept(_ask_page(request, "", problem=EXPIRED, status=410))


def _welcome(request: HttpRequest, entry: logins.SignedIn) -> HttpResponse:
    """Signed in: the session of whoever used this browser before ends here."""
    if before := session_of(request):
        logins.end_session(before)
    token = logins.start_session(entry.person, browser_of(request))
    response = see_other(entry.next_path or reverse("dashboard:person-home"))
    sign_in(response, token)
    rotate_token(request)
    return response


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """Ends the session of this browser."""
    if session := session_of(request):
        logins.end_session(session)
    response = kept(see_other(reverse("dashboard:person-login")))
    forget(response)
    return response
