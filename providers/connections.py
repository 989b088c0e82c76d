"""Connections to providers: create, change, test, rotate the key, delete. Each is recorded."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, get_args, get_type_hints
from uuid import UUID

from django.conf import settings

from config.kit import crypto, egress
from config.kit.errors import InvalidRequestError
from config.kit.sealed import SealedColumn
from paywalls import audit
from paywalls.models import Paywall
from providers import catalog, network, probe
from providers.adapters.registry import ADAPTERS
from providers.errors import AccountError, ProviderError
from providers.models import Connection
from providers.types import Policy

BASE_URL_CHARS_MAX: Final = 500
KEY_CHARS_MAX: Final = 1_000
KEY_CHARS_FOR_LAST_FOUR: Final = 12
POSITION_MAX: Final = 10_000
TROUBLE_CHARS_MAX: Final = 200
KEY_CLEARED: Final = "The address changed, so the key was removed: enter it again."

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,49}", re.ASCII)
_KEY: Final = re.compile(r"[\x21-\x7e]+", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a developer enters. Only `kind` is needed: the rest follows from it.

    name: prefix of its models; the kind's name if empty. base_url: the provider's own if empty.
    settlement: fields of `Policy`; timeouts: of `Timeouts`.
    """

    kind: str
    name: str = ""
    base_url: str = ""
    key: str = ""
    position: int = 0
    settlement: Mapping[str, Any] = field(default_factory=dict)
    timeouts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a test went. message: for the developer. models: how many it offers, if it said."""

    ok: bool
    message: str
    models: int | None = None


def create(paywall: Paywall, draft: Draft, *, actor: str) -> Connection:
    """Save a connection, in the caller's transaction.

    Raises: InvalidRequestError, DestinationRefusedError.
    """
    audit.lock(paywall)
    if draft.kind not in ADAPTERS:
        known = ", ".join(sorted(ADAPTERS))
        raise InvalidRequestError(f"The kind is one of: {known}.", param="kind")
    connection = Connection(
        paywall=paywall,
        kind=draft.kind,
        name=_read_name(draft.name or draft.kind, draft.kind),
        base_url=_read_base_url(
            draft.base_url or ADAPTERS[draft.kind].default_base_url, draft.kind
        ),
        position=_read_position(draft.position),
        settlement=_read_settlement(draft.settlement),
        timeouts=_read_timeouts(draft.timeouts),
    )
    _refuse_second(connection)
    if not draft.key and ADAPTERS[draft.kind].needs_key:
        raise InvalidRequestError("This provider needs an API key.", param="key")
    _seal(connection, draft.key)
    connection.save(force_insert=True)
    _record(connection, "connection.created", actor, before=None)
    return connection


def update(connection: Connection, changes: Mapping[str, Any], *, actor: str) -> Connection:
    """Change some of name, base_url, position, is_active, settlement, timeouts; in the caller's
    transaction. A base URL with another origin removes the key (T3).

    Raises: InvalidRequestError, DestinationRefusedError.
    """
    audit.lock(connection.paywall)
    connection.refresh_from_db()
    before, origin = facts(connection), _origin(connection)
    readers = {
        "name": lambda value: _read_name(value, connection.kind),
        "base_url": lambda value: _read_base_url(value, connection.kind),
        "position": _read_position,
        "is_active": _read_flag,
        "settlement": _read_settlement,
        "timeouts": _read_timeouts,
    }
    for name, value in changes.items():
        if name not in readers:
            raise InvalidRequestError(f"{name} cannot be changed.", param=name)
        setattr(connection, name, readers[name](value))
    _refuse_second(connection)
    if connection.sealed_key is not None and _origin(connection) != origin:
        _seal(connection, "")
        connection.trouble = KEY_CLEARED
    if facts(connection) != before:
        connection.save(update_fields=[*readers, "sealed_key", "key_last_four", "trouble"])
        _record(connection, "connection.updated", actor, before=before)
    return connection


def rotate(connection: Connection, key: str, *, actor: str) -> Connection:
    """Put a new key in the place of the old one, in the caller's transaction.

    Raises: InvalidRequestError, DestinationRefusedError.
    """
    audit.lock(connection.paywall)
    connection.refresh_from_db()
    before = facts(connection)
    if not key:
        raise InvalidRequestError("Give the new key.", param="key")
    _seal(connection, key)
    connection.trouble = ""
    connection.save(update_fields=["sealed_key", "key_last_four", "trouble"])
    _record(connection, "connection.key_rotated", actor, before=before)
    return connection


def delete(connection: Connection, *, actor: str) -> None:
    """Forget a connection, its key and its own models, in the caller's transaction."""
    audit.lock(connection.paywall)
    before, subject, paywall = facts(connection), connection.public_id, connection.paywall
    connection.delete()
    audit.record(
        paywall=paywall, actor=actor, action="connection.deleted", subject=subject, before=before
    )


def test(connection: Connection) -> Outcome:
    """Ask the provider something harmless, outside any transaction; note or clear the trouble."""
    adapter = ADAPTERS[connection.kind]
    try:
        answer = probe.get(connection, adapter.probe_path)
    except AccountError as refusal:
        note_trouble(connection.id, refusal.trouble)
        return Outcome(ok=False, message=f"The provider refuses the key ({refusal.trouble}).")
    except crypto.SealError:
        return Outcome(ok=False, message=KEY_CLEARED)
    except (ProviderError, egress.DestinationRefusedError) as problem:
        return Outcome(ok=False, message=problem.message)
    note_trouble(connection.id, "")
    listed = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(listed, list):
        return Outcome(ok=True, message="The provider takes the key.")
    return Outcome(
        ok=True,
        message=f"The provider answers and offers {len(listed)} models.",
        models=len(listed),
    )


def note_trouble(connection_id: UUID, trouble: str) -> None:
    """Remember what the provider last refused with; "" when all is well again."""
    noted = trouble[:TROUBLE_CHARS_MAX]
    Connection.objects.filter(pk=connection_id).exclude(trouble=noted).update(trouble=noted)


def facts(connection: Connection) -> dict[str, Any]:
    """The connection for audit trails and answers; never the key."""
    return {
        "id": connection.public_id,
        "name": connection.name,
        "kind": connection.kind,
        "base_url": connection.base_url,
        "key_last_four": connection.key_last_four,
        "has_key": connection.sealed_key is not None,
        "position": connection.position,
        "is_active": connection.is_active,
        "settlement": connection.settlement,
        "timeouts": connection.timeouts,
        "trouble": connection.trouble,
    }


def _record(
    connection: Connection, action: str, actor: str, *, before: dict[str, Any] | None
) -> None:
    audit.record(
        paywall=connection.paywall,
        actor=actor,
        action=action,
        subject=connection.public_id,
        before=before,
        after=facts(connection),
    )


def _seal(connection: Connection, key: str) -> None:
    """Put the key, bound to tenant and origin, into the row; "" takes it out."""
    if key and (not _KEY.fullmatch(key) or len(key) > KEY_CHARS_MAX):
        raise InvalidRequestError(
            "An API key has only visible ASCII characters. Was something else copied with it?",
            param="key",
        )
    connection.sealed_key, connection.key_last_four = None, ""
    if key:
        origin = egress.parse(catalog.base_url(connection), network.policy()).origin
        context = catalog.seal_context(connection.paywall_id, origin)
        connection.sealed_key = crypto.seal(
            key.encode(), context=context, keys=settings.ENCRYPTION_KEYS
        )
        connection.key_last_four = key[-4:] if len(key) >= KEY_CHARS_FOR_LAST_FOUR else ""


def _seal_context(connection: Connection) -> str:
    return catalog.seal_context(connection.paywall_id, _origin(connection))


def _origin(connection: Connection) -> str:
    """What the key is bound to; "" when the address is no longer allowed."""
    try:
        return egress.parse(catalog.base_url(connection), network.policy()).origin
    except egress.DestinationRefusedError:
        return ""


def _refuse_second(connection: Connection) -> None:
    same = Connection.objects.filter(paywall_id=connection.paywall_id, name=connection.name)
    if same.exclude(pk=connection.pk).exists():
        raise InvalidRequestError(
            f"A connection is called {connection.name} already; choose another name.", param="name"
        )


def _read_name(value: object, kind: str) -> str:
    name = value.strip().lower() if isinstance(value, str) else ""
    if not _NAME.fullmatch(name):
        raise InvalidRequestError(
            "A name has 1 to 50 of a-z, 0-9, dot, hyphen and underscore.", param="name"
        )
    if name in ADAPTERS and name != kind:
        raise InvalidRequestError(
            f"{name} is the name of another kind of provider; choose another.", param="name"
        )
    return name


def _read_base_url(value: object, kind: str) -> str:
    url = value.strip() if isinstance(value, str) else ""
    if not url and kind == Connection.Kind.DEMO and settings.DEMO_PROVIDER_URL:
        return ""
    if not url:
        raise InvalidRequestError(
            "Give the base URL, up to and with /v1, such as https://llm.example.com/v1.",
            param="base_url",
        )
    found = egress.parse(url, network.policy())
    if "?" in found.target or len(url) > BASE_URL_CHARS_MAX:
        raise InvalidRequestError(
            f"A base URL has no query, and at most {BASE_URL_CHARS_MAX} characters.",
            param="base_url",
        )
    return url.rstrip("/")


def _read_position(value: object) -> int:
    if type(value) is not int or not 0 <= value <= POSITION_MAX:
        raise InvalidRequestError(f"A position is 0 to {POSITION_MAX}.", param="position")
    return value


def _read_flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise InvalidRequestError("is_active is true or false.", param="is_active")
    return value


def _read_settlement(value: object) -> dict[str, Any]:
    choices = {name: get_args(hint) for name, hint in get_type_hints(Policy).items()}
    own = _object(value)
    if own is None or any(chosen not in choices.get(name, ()) for name, chosen in own.items()):
        allowed = "; ".join(f"{rule}: {', '.join(words)}" for rule, words in choices.items())
        raise InvalidRequestError(f"Settlement rules are {allowed}.", param="settlement")
    return own


def _read_timeouts(value: object) -> dict[str, Any]:
    most = settings.UPSTREAM_TOTAL_S
    own = _object(value)
    if own is None or any(
        name not in catalog.TIMEOUTS or type(seconds) not in (int, float) or not 0 < seconds <= most
        for name, seconds in own.items()
    ):
        names = ", ".join(catalog.TIMEOUTS)
        raise InvalidRequestError(
            f"Timeouts are {names}, each in seconds, above 0 and up to {most:g}.", param="timeouts"
        )
    return own


def _object(value: object) -> dict[str, Any] | None:
    return dict(value) if isinstance(value, Mapping) else None


SEALED: Final = (SealedColumn(Connection, "sealed_key", _seal_context),)
