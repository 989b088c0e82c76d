"""Typed reading of the environment. A malformed value stops the start with a sentence.

Every value can stand in a file instead: `NAME_FILE=/run/secrets/name` is read for `NAME`.
"""

import base64
import binascii
import re
from ipaddress import ip_network
from typing import Any, Final, cast
from urllib.parse import unquote, urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured
from environ.fileaware_mapping import FileAwareMapping

SECRET_BYTES: Final = 32
MEBIBYTE: Final = 1024 * 1024
MAIL_S: Final = 10
"""The longest wait for a mail server."""
HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:\d{1,5})?")


class _Env(environ.Env):  # type: ignore[misc] # It has no types.
    """Reads NAME_FILE before NAME, each time anew."""

    ENVIRON = FileAwareMapping(cache=False)


_env = _Env()


def text(name: str, default: str = "") -> str:
    """The value as it is, without surrounding blanks (files end in a newline)."""
    return cast("str", _env.str(name, default=default)).strip()


def flag(name: str, *, default: bool) -> bool:
    """`true` or `false`; also `1`/`0`, `yes`/`no`, `on`/`off`."""
    value = text(name).lower()
    if value in ("1", "true", "yes", "on"):
        return True
    if value in ("0", "false", "no", "off"):
        return False
    if value:
        raise ImproperlyConfigured(f"{name} must be true or false, not {value!r}.")
    return default


def whole(name: str, default: int, *, least: int = 0) -> int:
    """A whole number, not under `least`."""
    value = text(name)
    if not value:
        return default
    if not value.isascii() or not value.isdigit() or int(value) < least:
        raise ImproperlyConfigured(f"{name} must be a whole number of at least {least}.")
    return int(value)


def seconds(name: str, default: float) -> float:
    """A duration above zero; fractions are allowed."""
    value = text(name)
    if not value:
        return default
    if not re.fullmatch(r"\d{1,6}(\.\d{1,3})?", value) or float(value) == 0:
        raise ImproperlyConfigured(f"{name} must be a number of seconds above 0, such as 2.5.")
    return float(value)


def words(name: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
    """A list separated by commas."""
    value = text(name)
    return tuple(word.strip() for word in value.split(",") if word.strip()) or default


def choice(name: str, default: str, *, choices: tuple[str, ...]) -> str:
    """One of several words."""
    found = text(name, default)
    if found not in choices:
        raise ImproperlyConfigured(f"{name} is one of {', '.join(filter(None, choices))}, or empty")
    return found


def url(name: str, default: str, *, schemes: tuple[str, ...]) -> str:
    """An address with one of the schemes and a host, without a slash at its end."""
    value = text(name, default)
    parts = urlsplit(value)
    if value and (parts.scheme not in schemes or not (parts.netloc or parts.path)):
        raise ImproperlyConfigured(f"{name} must be an address with {' or '.join(schemes)}://.")
    return value.rstrip("/")


def mailers(name: str) -> dict[str, Any]:
    """Django's MAILERS from an address, `smtp://user:password@host:587` or `smtps://…`; without one
    mail goes nowhere. With a user name plain smtp switches to TLS.
    """
    value = url(name, "", schemes=("smtp", "smtps"))
    if not value:
        return {"default": {"BACKEND": "django.core.mail.backends.dummy.EmailBackend"}}
    parts = urlsplit(value)
    options = {
        "host": parts.hostname,
        "port": parts.port or (465 if parts.scheme == "smtps" else 587),
        "username": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "use_ssl": parts.scheme == "smtps",
        "use_tls": parts.scheme == "smtp" and bool(parts.username),
        "timeout": MAIL_S,
    }
    return {"default": {"OPTIONS": options}}


def networks(name: str) -> tuple[str, ...]:
    """Hosts (with or without a port) and networks in CIDR notation."""
    for word in words(name):
        if not HOST.fullmatch(word) and not _is_network(word):
            raise ImproperlyConfigured(f"{name}: {word!r} is neither a host nor a network.")
    return words(name)


def secrets(name: str) -> tuple[bytes, ...]:
    """A list of 32-byte keys in base64."""
    return tuple(_secret(name, word) for word in words(name))


def versioned_secrets(name: str) -> dict[int, bytes]:
    """A list of `version:key`, each version once; the last one is current."""
    found: dict[int, bytes] = {}
    for word in words(name):
        version, separator, key = word.partition(":")
        if not separator or not version.isdigit() or int(version) in {0, *found}:
            raise ImproperlyConfigured(f"{name} must be 1:key,2:key,… with each version once.")
        found[int(version)] = _secret(name, key)
    return found


def _secret(name: str, word: str) -> bytes:
    try:
        key = base64.b64decode(word, validate=True)
    except binascii.Error:
        key = b""
    if len(key) != SECRET_BYTES:
        raise ImproperlyConfigured(f"{name} must hold {SECRET_BYTES}-byte keys in base64.")
    return key


def _is_network(word: str) -> bool:
    try:
        ip_network(word)
    except ValueError:
        return False
    return True
