"""Changes of how a paywall takes money, each with an audit row."""

from typing import Any

from django.db.models.functions import Now

from billing.stripe import amounts
from billing.stripe.catalog import PaymentSettings
from billing.stripe.low_balances import begin_watch
from billing.stripe.refill_models import LowBalance, RefillAgreement
from config.kit.errors import InvalidRequestError
from config.kit.money import format_nanos
from paywalls import audit
from paywalls.models import Paywall


def tell_low_balances(paywall: Paywall, nanos: int | None, *, mails: bool, actor: str) -> None:
    """From now on, who falls below so much is told; None: nobody. The caller's transaction.

    Raises: InvalidRequestError for 0, below which no balance falls.
    """
    if nanos == 0:
        raise InvalidRequestError("Give an amount above 0, or `none`.", param="amount")
    before = _shown(_locked(paywall))
    _save(paywall, before, actor, low_balance_nanos=nanos, low_balance_mail=mails)
    LowBalance.objects.filter(paywall=paywall).delete()
    if nanos is not None:
        begin_watch()


def offer_refills(paywall: Paywall, *, is_on: bool, actor: str) -> None:
    """Whether people may save a card for automatic top-ups; off, no saved card is charged. The
    caller's transaction.

    Raises: InvalidRequestError where Stripe computes tax.
    """
    row = _locked(paywall)
    if is_on and row.tax:
        raise InvalidRequestError(
            "Stripe Tax is computed on Stripe's page alone: switch it off first.", param="switch"
        )
    _save(paywall, _shown(row), actor, refills=is_on)
    if is_on:
        begin_watch()
        waiting = RefillAgreement.objects.filter(
            customer__account__paywall=paywall, status=RefillAgreement.Status.ON, due_at=None
        )
        waiting.update(due_at=Now())


def _locked(paywall: Paywall) -> PaymentSettings:
    """The paywall's own row, made with what is usual in its currency."""
    audit.lock(paywall)
    usual = {"most_nanos": amounts.usual_most(paywall.currency)}
    row, _ = PaymentSettings.objects.get_or_create(paywall=paywall, defaults=usual)
    return row


def _save(paywall: Paywall, before: dict[str, Any], actor: str, **changes: Any) -> None:
    PaymentSettings.objects.filter(paywall=paywall).update(**changes)
    after = _shown(PaymentSettings.objects.get(paywall=paywall))
    audit.record(
        paywall=paywall,
        actor=actor,
        action="payments.changed",
        subject=paywall.public_id,
        before=before,
        after=after,
    )


def _shown(row: PaymentSettings) -> dict[str, Any]:
    low = row.low_balance_nanos
    return {
        "low_balance": None if low is None else format_nanos(low),
        "low_balance_mail": row.low_balance_mail,
        "refills": row.refills,
    }
