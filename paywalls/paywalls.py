"""Making a paywall and changing its settings. Nothing is ever deleted: it is archived."""

import re
import zoneinfo
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from django import conf
from django.db import DataError, connection, transaction

from config.kit import clock, limits
from config.kit.db import require_transaction
from config.kit.errors import InvalidRequestError
from config.kit.text import read_name
from paywalls import audit
from paywalls.models import Paywall, Team

DESCRIPTION_CHARS_MAX: Final = 500

_CURRENCY: Final = re.compile(r"[A-Z]{3}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What can be changed; None leaves it as it is.

    livemode: off while the payment keys are test keys; then every key moves test wallets.
    timezone: of days and months, an IANA name. allowed_models: ids, or prefixes ending in `*`.
    graceful: provider trouble is an assistant message. store_answers: keep chat answers 24 h.
    """

    name: str | None = None
    description: str | None = None
    livemode: bool | None = None
    timezone: str | None = None
    allowed_models: Sequence[str] | None = None
    graceful: bool | None = None
    store_answers: bool | None = None


def create(
    team: Team, *, name: str, mode: str, currency: str = "USD", settings: Settings, actor: str
) -> Paywall:
    """A new paywall, in the caller's transaction. Mode and currency are fixed for ever.

    Raises: InvalidRequestError.
    """
    require_transaction()
    if mode not in Paywall.Mode.values:
        raise InvalidRequestError("The mode is default or shared.", param="mode")
    if not _CURRENCY.fullmatch(currency):
        raise InvalidRequestError(
            f"{currency!r} is not a currency: three capital letters of ISO 4217, such as USD.",
            param="currency",
        )
    if mode == Paywall.Mode.SHARED and currency != conf.settings.PLATFORM_CURRENCY:
        raise InvalidRequestError(
            f"People's wallets are in {conf.settings.PLATFORM_CURRENCY}, and so is every Shared"
            " paywall.",
            param="currency",
        )
    values = _read(settings)
    paywall = Paywall.objects.create(
        team=team, **{**values, "name": read_name(name, param="name")}, mode=mode, currency=currency
    )
    # The first version is the paywall as it was made.
    Paywall.objects.filter(pk=paywall.pk).update(version=0)
    audit.record(
        paywall=paywall,
        actor=actor,
        action="paywall.created",
        subject=paywall.public_id,
        after=facts(paywall),
    )
    return paywall


def change(paywall: Paywall, settings: Settings, *, actor: str) -> Paywall:
    """Change what differs, in the caller's transaction; nothing different is no version.

    Raises: InvalidRequestError; also when the paywall is archived.
    """
    values = _read(settings)
    current = _locked(paywall)
    differing = {name: value for name, value in values.items() if getattr(current, name) != value}
    return _write(current, differing, action="paywall.changed", actor=actor)


def pause(paywall: Paywall, *, actor: str) -> Paywall:
    """Refuse every call from now on, in the caller's transaction. Running ones end as usual."""
    current = _locked(paywall)
    changes = {} if current.paused_at else {"paused_at": clock.now()}
    return _write(current, changes, action="paywall.paused", actor=actor)


def resume(paywall: Paywall, *, actor: str) -> Paywall:
    """Accept calls again, in the caller's transaction."""
    current = _locked(paywall)
    changes = {"paused_at": None} if current.paused_at else {}
    return _write(current, changes, action="paywall.resumed", actor=actor)


def archive(paywall: Paywall, *, actor: str) -> Paywall:
    """End the paywall for good, in the caller's transaction. Its books stay readable."""
    current = _locked(paywall)
    return _write(current, {"archived_at": clock.now()}, action="paywall.archived", actor=actor)


def facts(paywall: Paywall) -> dict[str, object]:
    """The paywall as the audit trail and commands show it."""
    return {
        "id": paywall.public_id,
        "mode": paywall.mode,
        "currency": paywall.currency,
        **{each.name: getattr(paywall, each.name) for each in fields(Settings)},
    }


def _locked(paywall: Paywall) -> Paywall:
    audit.lock(paywall)
    current = Paywall.objects.get(pk=paywall.pk)
    if current.archived_at:
        raise InvalidRequestError("This paywall is archived: make a new one.", param="paywall")
    return current


def _write(current: Paywall, changes: dict[str, Any], *, action: str, actor: str) -> Paywall:
    if not changes:
        return current
    before = {name: _plain(getattr(current, name)) for name in changes}
    for name, value in changes.items():
        setattr(current, name, value)
    current.save(update_fields=list(changes))
    audit.record(
        paywall=current,
        actor=actor,
        action=action,
        subject=current.public_id,
        before=before,
        after={name: _plain(value) for name, value in changes.items()},
    )
    return current


def _plain(value: Any) -> Any:
    return clock.wire(value) if hasattr(value, "astimezone") else value


def _read(settings: Settings) -> dict[str, Any]:
    values = {name: value for name, value in asdict(settings).items() if value is not None}
    if "name" in values:
        values["name"] = read_name(values["name"], param="name")
    description = values.get("description", "")
    if len(description) > DESCRIPTION_CHARS_MAX or "\0" in description:
        raise InvalidRequestError(
            f"The description has at most {DESCRIPTION_CHARS_MAX} characters.",
            param="description",
        )
    if "timezone" in values:
        _check_timezone(values["timezone"])
    if "allowed_models" in values:
        values["allowed_models"] = read_models(values["allowed_models"])
    return values


def read_models(patterns: Sequence[str]) -> list[str]:
    """A list of model ids and prefixes ending in `*`, without blanks and repetitions.

    Raises: InvalidRequestError.
    """
    found = list(dict.fromkeys(pattern.strip() for pattern in patterns if pattern.strip()))
    wrong = [each for each in found if len(each) > limits.MODEL_CHARS_MAX or "*" in each[:-1]]
    if wrong or len(found) > limits.ALLOWED_MODELS_MAX:
        raise InvalidRequestError(
            f"Allowed models are up to {limits.ALLOWED_MODELS_MAX} ids of at most "
            f"{limits.MODEL_CHARS_MAX} characters, or prefixes ending in *, such as openai/*.",
            param="allowed_models",
        )
    return found


def _check_timezone(name: str) -> None:
    """Both our clock and the database's must know it: the database counts the days."""
    refusal = InvalidRequestError(
        f"{name!r} is not a time zone: an IANA name such as Europe/Berlin.", param="timezone"
    )
    if name not in zoneinfo.available_timezones():
        raise refusal
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT clock_timestamp() AT TIME ZONE %s", [name])
    except DataError:
        raise refusal from None
