"""What must hold before any process starts. `manage.py`, the worker and the web server all ask."""

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, register, run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connections

SECRET_KEY_CHARS_LEAST: Final = 50
STARTUP: Final = "startup"
STORED: Final = "stored"
"""Of what is in the database: only servers ask, when they start."""

CURRENCY: Final = re.compile("[A-Z]{3}")
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
TERMS_VERSION_CHARS_MAX: Final = 20
INSECURE: Final = ("django-insecure", "change-me", "changeme")


@register(STARTUP)
def check_secrets(**_kwargs: object) -> list[CheckMessage]:
    """Every secret is set, and none is an example's."""
    errors: list[CheckMessage] = []
    key = _secret_key()
    if len(key) < SECRET_KEY_CHARS_LEAST or key.startswith(INSECURE):
        errors.append(
            Error(
                f"SECRET_KEY must be your own, of at least {SECRET_KEY_CHARS_LEAST} characters.",
                hint="python -c 'import secrets; print(secrets.token_urlsafe(48))'",
                id="paywalls.E001",
            )
        )
    errors.extend(
        Error(
            f"{name} is not set.",
            hint=f"Set {name}={example}$(openssl rand -base64 32)",
            id=code,
        )
        for name, example, code in (
            ("ENCRYPTION_KEYS", "", "paywalls.E002"),
            ("KEY_PEPPERS", "1:", "paywalls.E003"),
        )
        if not getattr(settings, name)
    )
    return errors


def _secret_key() -> str:
    try:
        return str(settings.SECRET_KEY)
    except ImproperlyConfigured:  # Django's answer to an empty one.
        return ""


@register(STARTUP)
def check_assertions(**_kwargs: object) -> list[CheckMessage]:
    """`python -O` drops the assertions that guard the ledger."""
    if __debug__:
        return []
    return [Error("Start without -O and PYTHONOPTIMIZE.", id="paywalls.E004")]


@register(STARTUP)
def check_hosts(**_kwargs: object) -> list[CheckMessage]:
    """An open ALLOWED_HOSTS lets a forged Host header into links and mails."""
    if settings.DEBUG or "*" not in settings.ALLOWED_HOSTS:
        return []
    return [Error("ALLOWED_HOSTS must name your hosts, not '*'.", id="paywalls.E005")]


@register(STARTUP)
def check_durations(**_kwargs: object) -> list[CheckMessage]:
    """A hold must outlive a missed heartbeat."""
    if settings.HOLD_HEARTBEAT_S * 2 <= settings.HOLD_LEASE_S:
        return []
    return [Error("HOLD_LEASE_S must be at least twice HOLD_HEARTBEAT_S.", id="paywalls.E006")]


@register(STARTUP)
def check_mailbox(**_kwargs: object) -> list[CheckMessage]:
    """A page that shows everybody's codes to sign in is for one's own machine."""
    if not settings.DEMO_MAILBOX or urlsplit(settings.BASE_URL).hostname in LOOPBACK:
        return []
    return [Error("DEMO_MAILBOX is for BASE_URLs on localhost only.", id="paywalls.E008")]


@register(STARTUP)
def check_currency(**_kwargs: object) -> list[CheckMessage]:
    """Wallets are looked up by it, letter by letter."""
    if CURRENCY.fullmatch(settings.PLATFORM_CURRENCY):
        return []
    return [Error("PLATFORM_CURRENCY must be three upper case letters.", id="paywalls.E010")]


@register(STARTUP)
def check_terms(**_kwargs: object) -> list[CheckMessage]:
    """What a person accepts has a version that fits into its row."""
    version = settings.TERMS_VERSION
    if 0 < len(version) <= TERMS_VERSION_CHARS_MAX:
        return []
    return [
        Error(
            f"TERMS_VERSION must have 1 to {TERMS_VERSION_CHARS_MAX} characters.",
            id="paywalls.E009",
        )
    ]


def startup_errors() -> Sequence[str]:
    """What is wrong, one sentence each; empty when the product may start."""
    return _sentences(run_checks(tags=[STARTUP]))


def stored_errors() -> Sequence[str]:
    """What is wrong in the database, so that the product may not start.

    Nothing while it does not answer: that is no reason not to start.
    """
    try:
        return _sentences(run_checks(tags=[STORED], include_deployment_checks=True))
    except DatabaseError:
        return []
    finally:
        connections.close_all()


def _sentences(messages: Sequence[CheckMessage]) -> Sequence[str]:
    return [f"{found.msg} {found.hint or ''}".strip() for found in messages]
