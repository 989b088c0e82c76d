"""Promotion codes of the paywall's own: each gives credit, once a user, at most so many times.

Stripe's promotion codes are something else: they lower a price.
"""

import datetime as dt
import re
from dataclasses import dataclass
from typing import ClassVar, Final

from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from billing import movements
from billing.movements import Reason
from billing.stripe import promo_tries
from billing.stripe.catalog import Promo
from config.kit import clock, ids
from config.kit.db import forbid_transaction
from config.kit.errors import InvalidRequestError
from config.kit.money import AMOUNT_NANOS_MAX, format_nanos
from ledger.models import Transaction
from paywalls import audit
from paywalls.models import EndUser, Paywall

ACTOR: Final = "promo"
CODE: Final = re.compile(r"[A-Z0-9-]{6,40}", re.ASCII)
"""Long enough that nobody finds one by trying."""

USES_MAX: Final = 1_000_000
DAYS_MAX: Final = 3_650


class PromoNotValidError(InvalidRequestError):
    """A code that gives nothing: unknown, over, or used up. Which of them is not told."""

    code: ClassVar[str] = "promo_not_valid"

    def __init__(self) -> None:
        super().__init__("This code gives nothing: it is mistyped, over or used up.", param="code")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a code gives. days: then its credit ends; until: when the code does."""

    credit_nanos: int
    most_uses: int
    days: int | None = None
    until: dt.datetime | None = None


def add(paywall: Paywall, code: str, terms: Terms, *, actor: str) -> Promo:
    """A code, in the caller's transaction.

    Raises: InvalidRequestError.
    """
    audit.lock(paywall)
    name = code.strip().upper()
    if not CODE.fullmatch(name):
        raise InvalidRequestError("A code has 6 to 40 letters, digits, dashes.", param="code")
    if Promo.objects.filter(paywall=paywall, code=name).exists():
        raise InvalidRequestError("This code is there already.", param="code")
    if not 0 < terms.credit_nanos <= AMOUNT_NANOS_MAX:
        raise InvalidRequestError("The credit must be above 0.", param="credit")
    if not 1 <= terms.most_uses <= USES_MAX:
        raise InvalidRequestError(f"From 1 to {USES_MAX} uses.", param="uses")
    if terms.days is not None and not 1 <= terms.days <= DAYS_MAX:
        raise InvalidRequestError(f"From 1 to {DAYS_MAX} days.", param="days")
    made = Promo.objects.create(
        paywall=paywall,
        code=name,
        credit_nanos=terms.credit_nanos,
        credit_days=terms.days,
        most_uses=terms.most_uses,
        expires_at=terms.until,
    )
    facts = {"credit": format_nanos(made.credit_nanos), "most_uses": made.most_uses}
    subject = ids.encode("promo", made.pk)
    audit.record(paywall=paywall, actor=actor, action="promo.added", subject=subject, after=facts)
    return made


def stop(paywall: Paywall, code: str, *, actor: str) -> Promo:
    """Ends a code, in the caller's transaction; what it gave stays.

    Raises: InvalidRequestError.
    """
    audit.lock(paywall)
    found = Promo.objects.filter(paywall=paywall, code=code.strip().upper()).first()
    if found is None:
        raise InvalidRequestError("There is no such code.", param="code")
    if found.is_active:
        Promo.objects.filter(pk=found.pk).update(is_active=False)
        subject = ids.encode("promo", found.pk)
        audit.record(
            paywall=paywall,
            actor=actor,
            action="promo.stopped",
            subject=subject,
            before={"uses": found.uses},
        )
    return found


def redeem(user: EndUser, code: str) -> int:
    """Gives the code's credit; the nanos. Again it gives nothing more and answers the same.

    `user.paywall` is loaded. Raises: PromoNotValidError, PromoTriesError.
    """
    name = code.strip().upper()
    if not CODE.fullmatch(name):
        raise PromoNotValidError
    forbid_transaction()
    promo_tries.take(user)
    credit = _redeem(user, name)
    promo_tries.give_back(user)
    return credit


def _redeem(user: EndUser, name: str) -> int:
    with transaction.atomic():
        promo = (
            Promo.objects.select_for_update(no_key=True)
            .filter(paywall=user.paywall, code=name)
            .first()
        )
        if promo is None:
            raise PromoNotValidError
        ref = f"promo:{promo.pk}:{user.pk}"
        if Transaction.objects.filter(scope=_scope(user), ref=ref).exists():
            return promo.credit_nanos
        usable = Q(expires_at=None) | Q(expires_at__gt=Now())
        mine = Promo.objects.filter(usable, pk=promo.pk, is_active=True, uses__lt=F("most_uses"))
        if not mine.update(uses=F("uses") + 1):
            raise PromoNotValidError
        movements.bonus(
            user.paywall,
            user.external_id,
            promo.credit_nanos,
            Reason(actor=ACTOR, reason=f"Code {promo.code}", ref=ref),
            livemode=user.livemode,
            expires_at=_ends(promo),
        )
    return promo.credit_nanos


def are_there(paywall: Paywall) -> bool:
    """Whether people may be asked for a code."""
    return Promo.objects.filter(paywall=paywall, is_active=True, uses__lt=F("most_uses")).exists()


def _ends(promo: Promo) -> dt.datetime | None:
    return clock.now() + dt.timedelta(days=promo.credit_days) if promo.credit_days else None


def _scope(user: EndUser) -> str:
    """Where the ledger keeps references of bonuses."""
    return f"bonus:{user.paywall_id}" + ("" if user.livemode else ":test")
