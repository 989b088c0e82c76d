"""Whether somebody's card may be charged now, and if not, until when: the rule and its facts."""

import datetime as dt
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

from django.db.models import Q, Sum

from billing.stripe import orders
from billing.stripe.models import Customer, Order, Reversal
from billing.stripe.refill_models import RefillAgreement
from billing.stripe.refill_words import Bounds
from billing.stripe.reversals import UNDONE
from ledger.models import Account
from paywalls.models import EndUser, Paywall

BUSY: Final = dt.timedelta(seconds=30)
CLOSED: Final = dt.timedelta(minutes=10)
"""How soon a paused paywall, or a key in trouble, is looked at again."""

UNFINISHED: Final = (Order.Status.OPEN, Order.Status.PENDING)
COUNTED: Final = (*UNFINISHED, Order.Status.PAID)
"""What counts towards the most of a month."""

FORGIVEN: Final = frozenset({"won", "warning_closed", *UNDONE})
DISPUTED: Final = "A payment was disputed or given back."
OTHER_KEY: Final = "Payments go through another Stripe account now: agree once more."
OTHER_LIMITS: Final = "What one payment may be has changed: agree once more."


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """wait: when to look again; None: when the balance moves. trouble: ends the agreement."""

    wait: dt.timedelta | dt.datetime | None = None
    trouble: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the rule needs to know. Amounts in nanos; level: without what is held."""

    is_agreed: bool
    is_offered: bool
    has_other_key: bool
    is_closed: bool
    is_disputed: bool
    is_busy: bool
    level: int
    owed: int
    below: int
    amount: int
    bounds: Bounds
    month_spent: int
    month_most: int
    next_month: dt.datetime


def obstacle(facts: Facts) -> Obstacle | None:
    """The first thing that stands against a top-up. Pure."""
    is_within = facts.bounds.least_nanos <= facts.amount <= facts.bounds.most_nanos
    is_too_much = facts.month_spent + facts.amount > facts.month_most
    standing = (
        (not facts.is_agreed, Obstacle()),
        (facts.has_other_key, Obstacle(trouble=OTHER_KEY)),
        (not facts.is_offered, Obstacle()),
        (facts.owed > 0 or facts.level >= facts.below, Obstacle()),
        (facts.is_disputed, Obstacle(trouble=DISPUTED)),
        (facts.is_closed, Obstacle(wait=CLOSED)),
        (not is_within, Obstacle(trouble=OTHER_LIMITS)),
        (facts.is_busy, Obstacle(wait=BUSY)),
        (is_too_much, Obstacle(wait=facts.next_month)),
    )
    return next((found for stands, found in standing if stands), None)


def facts_of(agreement: RefillAgreement, now: dt.datetime, *, known: Order | None = None) -> Facts:
    """As they are now. The caller holds the agreement. known: an order that does not count."""
    customer = agreement.customer
    user, account = customer.user, customer.account
    paywall = account.paywall
    selling = orders.account_of(paywall, livemode=user.livemode)
    assert user.wallet_id is not None, "no refills in Shared mode"
    wallet = Account.objects.get(pk=user.wallet_id)
    refills = Order.objects.filter(kind=Order.Kind.REFILL)
    if known:
        refills = refills.exclude(pk=known.pk)
    begin, end = month_of(now, paywall)
    spent = refills.filter(user=user, status__in=COUNTED, created_at__gte=begin, created_at__lt=end)
    return Facts(
        is_agreed=agreement.status == RefillAgreement.Status.ON
        and bool(customer.payment_method_id)
        and user.blocked_at is None,
        is_offered=selling is not None and is_offered(paywall),
        has_other_key=selling is not None and selling.pk != account.pk,
        is_closed=bool(account.trouble or account.stopped_at or paywall.paused_at),
        is_disputed=_is_disputed(user, agreement.agreed_at),
        is_busy=refills.filter(user__wallet_id=user.wallet_id, status__in=UNFINISHED).exists(),
        level=level_of(wallet),
        owed=wallet.owed,
        below=agreement.below_nanos,
        amount=agreement.amount_nanos,
        bounds=bounds_of(paywall),
        month_spent=spent.aggregate(sum=Sum("credit_nanos"))["sum"] or 0,
        month_most=agreement.month_most_nanos,
        next_month=end,
    )


def is_offered(paywall: Paywall) -> bool:
    """Whether people may save a card here. Stripe Tax needs its own page, where nobody is then."""
    how = orders.settings_of(paywall)
    return how.refills and not how.tax


def is_shown(user: EndUser) -> bool:
    """Whether pages lead to automatic top-ups: where they are offered, or may have to be ended."""
    account = orders.account_of(user.paywall, livemode=user.livemode)
    if account is None:
        return False
    known = Customer.objects.filter(account=account, user=user).exclude(payment_method_id="")
    return is_offered(user.paywall) or known.exists()


def bounds_of(paywall: Paywall) -> Bounds:
    """What one payment may be."""
    terms = orders.terms_of(orders.settings_of(paywall))
    return Bounds(
        currency=terms.currency,
        least_nanos=terms.least_nanos,
        most_nanos=terms.most_nanos,
        first_nanos=terms.suggested_nanos[0],
    )


def level_of(wallet: Account) -> int:
    """What is there once nothing runs: what is held for requests may yet come back."""
    return wallet.posted - (wallet.floor or 0)


def month_of(now: dt.datetime, paywall: Paywall) -> tuple[dt.datetime, dt.datetime]:
    """The calendar month around a moment, in the paywall's time zone."""
    begin = now.astimezone(ZoneInfo(paywall.timezone)).replace(
        day=1, hour=0, minute=0, second=0, microsecond=0
    )
    end = begin.replace(year=begin.year + begin.month // 12, month=begin.month % 12 + 1)
    return begin, end


def _is_disputed(user: EndUser, since: dt.datetime) -> bool:
    """Whether a payment was disputed since then, or an automatic one given back."""
    taken = Reversal.objects.filter(order__user=user, created_at__gte=since)
    wanted = Q(kind=Reversal.Kind.DISPUTE) | Q(order__kind=Order.Kind.REFILL)
    return taken.filter(wanted).exclude(status__in=FORGIVEN).exists()
