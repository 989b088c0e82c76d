"""Keys through which nobody can pay: messages to users say so, the owners are told once.

The rows are the truth: a worker mails what is not told yet, and tries whether people can pay again.
"""

import datetime as dt
from typing import Final
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from billing.stripe import client
from billing.stripe.doctor import PAYMENT, Check
from billing.stripe.errors import StripeFailedError, translated
from billing.stripe.models import StripeAccount
from config.kit import clock
from config.kit.db import forbid_transaction
from paywalls import notices

log = structlog.get_logger(__name__)

TRIAL_MINOR: Final = 100_000
"""Worth paying in every currency; nobody is asked to."""

TRY_AFTER: Final = dt.timedelta(minutes=5)
AT_ONCE_MAX: Final = 100
STOPPED: Final = "Users read that payments are unavailable until it works again."
RUNNING: Final = "People can still pay; what is named does not work."


def note_trouble(account: StripeAccount, error: StripeFailedError, *, stops: bool = True) -> None:
    """Stripe refused what it must not: the owners hear of it, and users too if it `stops` them."""
    log.error("stripe.key_trouble", account=account.public_id, error=error.code)
    mine = StripeAccount.objects.filter(pk=account.pk)
    mine.update(trouble=error.message[:200])
    if stops:
        # News, even to who knows of a lesser trouble.
        mine.filter(stopped_at=None).update(stopped_at=clock.now(), told_at=None)


def stopped_modes(paywall_id: UUID) -> frozenset[bool]:
    """The modes (`livemode`) in which people cannot pay, though they once could. One query."""
    rows = StripeAccount.objects.filter(paywall_id=paywall_id).order_by("-is_active")
    found = list(rows.values_list("livemode", "is_active", "stopped_at"))
    if found and found[0][1]:
        livemode, _, stopped_at = found[0]
        return frozenset({livemode} if stopped_at else ())
    return frozenset(livemode for livemode, _, _ in found)


def trial(account: StripeAccount) -> list[Check]:
    """Whether a page for payments can be made again: makes one that nobody gets, and ends it."""
    sessions = client.client_of(account).v1.checkout.sessions
    currency = account.paywall.currency.lower()
    try:
        with translated():
            made = sessions.create(
                {
                    "mode": "payment",
                    "line_items": [
                        {
                            "quantity": 1,
                            "price_data": {
                                "currency": currency,
                                "unit_amount": TRIAL_MINOR,
                                "product_data": {"name": "Test"},
                            },
                        }
                    ],
                    "success_url": settings.BASE_URL,
                }
            )
            sessions.expire(made.id)
    except StripeFailedError as error:
        return [Check(name=PAYMENT, need="everything", ok=False, message=error.message)]
    return []


def due() -> QuerySet[StripeAccount]:
    """Stopped accounts that were not examined for a while, the longest waiting first."""
    stopped = StripeAccount.objects.filter(is_active=True).exclude(stopped_at=None)
    before = clock.now() - TRY_AFTER
    waiting = stopped.exclude(checked_at__gt=before).select_related("paywall")
    return waiting.order_by("checked_at")[:AT_ONCE_MAX]


def tell() -> int:
    """Mails the owners of accounts in trouble who do not know yet; returns how many accounts."""
    forbid_transaction()
    told = 0
    while told < AT_ONCE_MAX and _tell_next():
        told += 1
    return told


def _tell_next() -> bool:
    with transaction.atomic():
        account = (
            StripeAccount.objects.select_for_update(skip_locked=True, no_key=True, of=("self",))
            .select_related("paywall__team")
            .filter(is_active=True, told_at=None)
            .exclude(trouble="")
            .first()
        )
        if account is None:
            return False
        StripeAccount.objects.filter(pk=account.pk).update(told_at=clock.now())
        name = account.paywall.name
        findings = [Check.of(each) for each in account.checks]
        missing = [f"{each.name}: {each.message}" for each in findings if not each.ok]
        notices.tell_owners(
            account.paywall.team,
            subject=f"Payments of {name} {'have stopped' if account.stopped_at else 'need repair'}",
            text="\n".join([account.trouble, *missing, ""])
            + f"\n{STOPPED if account.stopped_at else RUNNING}\n\n"
            f"The Stripe key is {account}. `./run manage check_stripe {account.paywall.public_id}`"
            " says what is missing, and tries again; that happens by itself too.",
        )
    return True
