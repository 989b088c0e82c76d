"""The operator's terms: read the ones in force, put others in their place."""

from typing import Any, Final

from django.forms.models import model_to_dict

from billing.withdrawals.models import BPS, PayoutTerms
from config.kit.db import require_transaction
from config.kit.errors import InvalidRequestError
from config.kit.money import AMOUNT_NANOS_MAX, format_nanos
from paywalls import audit

NAMES: Final = (
    *("clearing_days", "reserve_bps", "reserve_days", "minimum_nanos", "fee_nanos", "fee_bps"),
    *("approval_above_nanos", "destination_delay_hours"),
)
DAYS_MAX: Final = 365
HOURS_MAX: Final = 24 * 30


def in_force() -> PayoutTerms:
    """The last ones."""
    terms = PayoutTerms.objects.order_by("-id").first()
    assert terms is not None, "the first terms are made with their table"
    return terms


def change(*, actor: str, **changes: int) -> PayoutTerms:
    """New terms: the ones in force with some of them changed, in the caller's transaction. They
    hold for what is cleared and requested from now on.

    Raises: InvalidRequestError.
    """
    require_transaction()
    before = model_to_dict(in_force(), NAMES)
    after = before | changes
    for name, value in after.items():
        if not 0 <= value <= _most(name):
            most = format_nanos(_most(name)) if name.endswith("_nanos") else _most(name)
            raise InvalidRequestError(f"At least 0 and at most {most}.", param=name)
    if after == before:
        return in_force()
    made = PayoutTerms.objects.create(**after, actor=actor)
    audit.record(
        paywall=None,
        actor=actor,
        action="payout_terms.changed",
        subject=str(made),
        before=before,
        after=after,
    )
    return made


def facts_of(terms: PayoutTerms) -> dict[str, Any]:
    """As commands show them: amounts as decimals."""
    return {
        name.removesuffix("_nanos"): format_nanos(value) if name.endswith("_nanos") else value
        for name, value in model_to_dict(terms, NAMES).items()
    }


def _most(name: str) -> int:
    if name.endswith("_nanos"):
        return AMOUNT_NANOS_MAX
    if name.endswith("_bps"):
        return BPS - 1 if name == "fee_bps" else BPS
    return DAYS_MAX if name.endswith("_days") else HOURS_MAX
