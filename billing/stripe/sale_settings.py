"""How a paywall takes money, as people choose it: limits, suggestions, what Stripe's page does."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from billing.stripe import amounts
from billing.stripe.catalog import PaymentSettings
from config.kit.errors import InvalidRequestError
from config.kit.money import format_nanos
from paywalls import audit
from paywalls.models import Paywall

SUGGESTED_MAX: Final = 12
ORIGINS_MAX: Final = 20
LOCAL: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What may be chosen. suggested: empty for the usual ones; the first is what a link offers."""

    least_nanos: int
    most_nanos: int
    suggested_nanos: Sequence[int] = ()
    choose_first: bool = False
    invoices: bool = False
    tax: bool = False
    promotion_codes: bool = False
    origins: Sequence[str] = ()


def choose(paywall: Paywall, choices: Choices, *, actor: str) -> PaymentSettings:
    """Makes them the paywall's, in the caller's transaction.

    Raises: InvalidRequestError.
    """
    audit.lock(paywall)
    _check_amounts(choices, paywall.currency)
    found = PaymentSettings.objects.filter(paywall=paywall).first()
    if found and found.refills and choices.tax:
        raise InvalidRequestError(
            "Automatic top-ups cannot compute tax: switch them off first.", param="tax"
        )
    now = asdict(choices) | {
        "suggested_nanos": list(choices.suggested_nanos),
        "origins": [read_origin(text) for text in choices.origins[: ORIGINS_MAX + 1]],
    }
    if len(choices.origins) > ORIGINS_MAX:
        raise InvalidRequestError(f"At most {ORIGINS_MAX} origins.", param="origins")
    before = _shown(found) if found else None
    row, _ = PaymentSettings.objects.update_or_create(paywall=paywall, defaults=now)
    audit.record(
        paywall=paywall,
        actor=actor,
        action="payments.changed",
        subject=paywall.public_id,
        before=before,
        after=_shown(row),
    )
    return row


def read_origin(text: str) -> str:
    """`https://app.example`, perhaps with a port; `http` on this machine alone.

    Raises: InvalidRequestError.
    """
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port, parts = "", None, urlsplit("")
    host = f"[{host}]" if ":" in host else host
    whole = f"{parts.scheme}://{host}" + (f":{port}" if port else "")
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and host in LOCAL)
    if not host or not is_safe or text != whole or not text.isascii() or not text.isprintable():
        raise InvalidRequestError(
            f"{text!r} is not an origin such as https://app.example, without a path.",
            param="origins",
        )
    return text


def _check_amounts(choices: Choices, currency: str) -> None:
    """Raises: InvalidRequestError."""
    least, most = choices.least_nanos, choices.most_nanos
    if least > most:
        raise InvalidRequestError("The least is above the most.", param="least")
    for nanos in (least, most, *choices.suggested_nanos):
        amounts.to_minor(nanos, currency)
    if len(choices.suggested_nanos) > SUGGESTED_MAX:
        raise InvalidRequestError(f"At most {SUGGESTED_MAX} suggestions.", param="suggested")
    for nanos in choices.suggested_nanos:
        if not least <= nanos <= most:
            raise InvalidRequestError(
                f"{format_nanos(nanos)} is not between the least and the most.", param="suggested"
            )


def _shown(row: PaymentSettings) -> dict[str, Any]:
    return {
        "least": format_nanos(row.least_nanos),
        "most": format_nanos(row.most_nanos),
        "suggested": [format_nanos(nanos) for nanos in row.suggested_nanos],
        "choose_first": row.choose_first,
        "invoices": row.invoices,
        "tax": row.tax,
        "promotion_codes": row.promotion_codes,
        "origins": row.origins,
    }
