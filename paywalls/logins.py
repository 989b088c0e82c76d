"""Signing in by mail: a code for the browser that asked, a link for any, and the sessions.

Secrets are returned once and kept as hashes. Whether an address is known never shows: every one is
asked, told and treated alike, and a person is made when an address has been proved.
"""

import datetime as dt
import hmac
import ipaddress
import secrets
from dataclasses import dataclass
from typing import Final

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db.models import F
from django.utils.crypto import salted_hmac

from config.kit import clock, limits
from config.kit.db import require_transaction
from config.kit.errors import InvalidRequestError
from paywalls import pace, persons
from paywalls.models import LoginCode, Person, PersonSession

EMAIL_CHARS_MAX: Final = 254
CODE_DIGITS: Final = 6
TOKEN_BYTES: Final = 32
TOKEN_CHARS_MAX: Final = 100
PATH_CHARS_MAX: Final = 300
BROWSER_CHARS_MAX: Final = 60
SEEN_EVERY: Final = dt.timedelta(minutes=5)
KEPT: Final = dt.timedelta(days=1)
"""How long a code that is over stays, so that its page can say so."""

IPV6_NETWORK_BITS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is handed out once: code and link to the mail, browser to the cookie."""

    email: str
    code: str
    link: str
    browser: str


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Whose address was proved, and where that person was going."""

    person: Person
    next_path: str


@dataclass(frozen=True, slots=True)
class Wrong:
    """Not this code, and how many tries there still are."""

    tries_left: int


@dataclass(frozen=True, slots=True)
class Stale:
    """Used, too old, tried too often, or never ours."""


type Entry = SignedIn | Wrong | Stale


def read_email(text: str) -> str:
    """An address as it is kept: without blanks, in lower case.

    Raises: InvalidRequestError.
    """
    email = text.strip().lower()
    try:
        validate_email(email)
    except ValidationError:
        email = ""
    if not email or len(email) > EMAIL_CHARS_MAX:
        raise InvalidRequestError("Write an e-mail address such as ann@example.com.", param="email")
    return email


def may_ask(email: str, address: str) -> bool:
    """Whether one more mail may go to `email`, asked for from the internet address `address`."""
    return _may_come(address) and all(
        pace.try_take("login-mail", email, most=most, seconds=seconds)
        for most, seconds in (
            (limits.LOGIN_MAILS_PER_HOUR, pace.HOUR_S),
            (limits.LOGIN_MAILS_PER_DAY, pace.DAY_S),
        )
    )


def may_enter(address: str) -> bool:
    """Whether one more code may come from this internet address."""
    return _may_come(address)


def _may_come(address: str) -> bool:
    return pace.try_take(
        "login-address", _network(address), most=limits.LOGIN_ASKS_PER_HOUR, seconds=pace.HOUR_S
    )


def _network(address: str) -> str:
    """One household has a whole network of IPv6 addresses."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if found.version == 4:
        return address
    return str(ipaddress.ip_network((found, IPV6_NETWORK_BITS), strict=False))


def ask(email: str, *, next_path: str = "") -> Asked:
    """A new code and link for this address, in the caller's transaction. Any older one stays good
    until its time is over.
    """
    require_transaction()
    now = clock.now()
    LoginCode.objects.filter(expires_at__lt=now - KEPT).delete()
    asked = Asked(
        email=email,
        code=f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}d}",
        link=secrets.token_urlsafe(TOKEN_BYTES),
        browser=secrets.token_urlsafe(TOKEN_BYTES),
    )
    LoginCode.objects.create(
        email=email,
        browser_hash=_digest("browser", asked.browser),
        code_hash=_digest("code", asked.browser + asked.code),
        link_hash=_digest("link", asked.link),
        next_path=next_path if len(next_path) <= PATH_CHARS_MAX else "",
        expires_at=now + dt.timedelta(seconds=limits.LOGIN_CODE_S),
    )
    return asked


def waiting(browser: str) -> LoginCode | None:
    """What this browser asked for and may still enter a code for."""
    found = LoginCode.objects.filter(browser_hash=_digest("browser", browser)).first()
    return found if found and _is_open(found) else None


def linked(link: str) -> LoginCode | None:
    """What a mailed link stands for, while it is good. It changes nothing."""
    found = LoginCode.objects.filter(link_hash=_digest("link", link)).first()
    return found if found and _is_open(found) else None


def enter_code(browser: str, code: str) -> Entry:
    """Try a code in the browser that asked for it, in the caller's transaction."""
    found = _locked(browser_hash=_digest("browser", browser))
    if found is None:
        return Stale()
    digits = "".join(code.split()).replace("-", "")
    if hmac.compare_digest(bytes(found.code_hash), _digest("code", browser + digits)):
        return SignedIn(_proved(found), found.next_path)
    LoginCode.objects.filter(pk=found.pk).update(tries=F("tries") + 1)
    left = limits.LOGIN_TRIES_MAX - found.tries - 1
    return Wrong(left) if left else Stale()


def enter_link(link: str, browser: str) -> Entry:
    """Use a mailed link, in the caller's transaction.

    Only the browser that asked is led on to where it was going: a mail that somebody else asked
    for must not lead its reader anywhere.
    """
    found = _locked(link_hash=_digest("link", link))
    if found is None:
        return Stale()
    is_asking = hmac.compare_digest(bytes(found.browser_hash), _digest("browser", browser))
    return SignedIn(_proved(found), found.next_path if is_asking else "")


def _locked(**which: bytes) -> LoginCode | None:
    require_transaction()
    found = LoginCode.objects.select_for_update(no_key=True).filter(**which).first()
    return found if found and _is_open(found) else None


def _is_open(found: LoginCode) -> bool:
    is_over = found.used_at or found.tries >= limits.LOGIN_TRIES_MAX
    return not is_over and clock.now() < found.expires_at


def _proved(found: LoginCode) -> Person:
    found.used_at = clock.now()
    found.save(update_fields=["used_at"])
    return persons.of_email(found.email)


def start_session(person: Person, browser: str) -> str:
    """Sign a person in, in the caller's transaction; the token goes into the cookie."""
    require_transaction()
    token = secrets.token_urlsafe(TOKEN_BYTES)
    now = clock.now()
    # The new one needs a place too.
    alive = [each.pk for each in sessions_of(person)][: limits.PERSON_SESSIONS_MAX - 1]
    PersonSession.objects.filter(person=person).exclude(pk__in=alive).delete()
    PersonSession.objects.create(
        person=person,
        token_hash=_digest("session", token),
        browser=browser[:BROWSER_CHARS_MAX],
        expires_at=now + dt.timedelta(days=limits.PERSON_SESSION_DAYS),
    )
    return token


def sessions_of(person: Person) -> list[PersonSession]:
    """Where a person is signed in now, the newest first."""
    now = clock.now()
    idle_since = now - dt.timedelta(days=limits.PERSON_IDLE_DAYS)
    found = PersonSession.objects.filter(person=person, expires_at__gt=now, seen_at__gt=idle_since)
    return list(found.order_by("-seen_at", "-pk"))


def find_session(token: str) -> PersonSession | None:
    """The session of a cookie, with its person; None when it is over. Notes that it is used."""
    if not token or len(token) > TOKEN_CHARS_MAX:
        return None
    now = clock.now()
    found = (
        PersonSession.objects.select_related("person")
        .filter(
            token_hash=_digest("session", token),
            expires_at__gt=now,
            seen_at__gt=now - dt.timedelta(days=limits.PERSON_IDLE_DAYS),
            person__closed_at=None,
        )
        .first()
    )
    if found and now - found.seen_at > SEEN_EVERY:
        PersonSession.objects.filter(pk=found.pk).update(seen_at=now)
    return found


def end_session(session: PersonSession) -> None:
    """Sign out of one browser."""
    PersonSession.objects.filter(pk=session.pk).delete()


def end_all(person: Person) -> None:
    """Sign out everywhere."""
    PersonSession.objects.filter(person=person).delete()


def _digest(kind: str, secret: str) -> bytes:
    return salted_hmac(f"paywalls.logins.{kind}", secret, algorithm="sha256").digest()
