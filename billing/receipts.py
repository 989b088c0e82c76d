"""Receipts: what a movement on a wallet came from, in items that add up to it exactly."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from billing.models import Charge, Split
from billing.splits import Parts
from ledger.models import Account, Entry, Transaction
from paywalls.models import EndUser, Paywall, Rate
from paywalls.pricing import BASIS_POINTS, TOKENS_PER_RATE, Rates, Usage, lines, price_nanos

SCALE: Final = TOKENS_PER_RATE * BASIS_POINTS
"""Parts of a nano in which every item is a whole number."""

DECIMALS: Final = 19
"""Of a scaled amount: nine of a nano, ten of SCALE."""

REFUNDS_MAX: Final = 200
"""Refunds of one charge that its receipt lists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One line of a receipt. `scaled`: its amount in nanos times SCALE, exact.

    count and rate (nanos for `per`) are None where it is a step of the computation: the markup,
    the rounding, the fee of a request, what a minimum adds, what the hold did not cover.
    """

    name: str
    scaled: int
    count: int | None = None
    rate: int | None = None
    per: int | None = None

    @property
    def amount(self) -> str:
        """The exact decimal string."""
        whole, fraction = divmod(abs(self.scaled), 10**DECIMALS)
        text = f"{whole}.{fraction:0{DECIMALS}d}".rstrip("0").rstrip(".")
        return f"-{text}" if self.scaled < 0 else text


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """What was given back of a charge, in nanos."""

    transaction_id: UUID
    amount_nanos: int
    created_at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """One movement on a wallet and what it came from. Amounts in nanos.

    amount_nanos: below 0 where money left the wallet; the items add up to it without its sign.
    of: the charge that a refund gives back. What a request says is empty for other movements.
    parts: who got what of a Shared charge, or gave of its refund (below 0); what is in the person's
    wallet is then not for the app to see.
    """

    transaction_id: UUID
    kind: str
    paywall: Paywall
    livemode: bool
    currency: str
    user: str
    amount_nanos: int
    balance_after_nanos: int
    created_at: dt.datetime
    items: tuple[Item, ...]
    refunds: tuple[Refund, ...]
    of: UUID | None
    request_id: UUID | None = None
    model: str = ""
    policy: str = ""
    usage: Mapping[str, int] | None = None
    usage_source: str = ""
    version_id: UUID | None = None
    version: int | None = None
    parts: Parts | None = None

    @property
    def total_nanos(self) -> int:
        return abs(self.amount_nanos)

    @property
    def balance_before_nanos(self) -> int:
        return self.balance_after_nanos - self.amount_nanos


def items_of(usage: Usage, rates: Rates, charged_nanos: int) -> tuple[Item, ...]:
    """A charge as the price engine reached it: classes, markup, the one rounding, fee, minimum.

    Last what was not charged although it was used, because the hold did not cover it. Pure.
    """
    used = [
        Item(
            name=line.name,
            scaled=line.scaled * BASIS_POINTS,
            count=line.count,
            rate=line.rate,
            per=line.per,
        )
        for line in lines(usage, rates)
    ]
    plain = sum(item.scaled for item in used)
    markup = plain // BASIS_POINTS * rates.markup_bps
    price = price_nanos(usage, rates)
    rounding = -(plain + markup) % SCALE
    flat = (plain + markup + rounding) // SCALE + rates.request
    steps = (
        Item(name="markup", scaled=markup),
        Item(name="rounding", scaled=rounding),
        Item(name="request", scaled=rates.request * SCALE),
        Item(name="minimum", scaled=(price - flat) * SCALE),
        Item(name="not_covered", scaled=(charged_nanos - price) * SCALE),
    )
    return (*used, *(step for step in steps if step.scaled))


def find(transaction_id: UUID) -> Receipt | None:
    """The receipt of a movement on an end user's wallet; None where there is no such movement."""
    entry = (
        Entry.objects.filter(transaction_id=transaction_id, account__kind=Account.Kind.WALLET)
        .select_related("transaction", "account")
        .first()
    )
    if entry is None:
        return None
    split = Split.objects.filter(pk=transaction_id).first()
    user_id = split.user_id if split else entry.account.owner
    user = EndUser.objects.select_related("paywall").filter(pk=user_id).first()
    if user is None:  # A person's own top-up is no paywall's.
        return None
    assert entry.balance_after is not None, "a wallet knows its balance"
    charge = Charge.objects.filter(pk=transaction_id).first()
    rate_id = charge.rate_id if charge else None
    rate = Rate.objects.select_related("version").get(pk=rate_id) if rate_id else None
    return Receipt(
        transaction_id=transaction_id,
        kind=entry.transaction.kind,
        paywall=user.paywall,
        livemode=user.livemode,
        currency=entry.account.currency,
        user=user.external_id,
        amount_nanos=entry.amount,
        balance_after_nanos=entry.balance_after,
        created_at=entry.created_at,
        items=_items(entry, charge, rate),
        refunds=_refunds(entry),
        of=entry.transaction.reverses_id,
        request_id=charge.request_id if charge and charge.usage is not None else None,
        model=charge.model if charge else "",
        policy=charge.policy if charge else "",
        usage=charge.usage if charge else None,
        usage_source=charge.usage_source if charge else "",
        version_id=rate.version_id if rate else None,
        version=rate.version.number if rate else None,
        parts=Parts(cost=split.cost, fee=split.fee, earned=split.earned) if split else None,
    )


def _items(entry: Entry, charge: Charge | None, rate: Rate | None) -> tuple[Item, ...]:
    if charge is None or charge.usage is None or rate is None:
        return (Item(name=entry.transaction.kind, scaled=abs(entry.amount) * SCALE),)
    return items_of(Usage(**charge.usage), Rates.from_dict(rate.selling), charge.charged)


def _refunds(entry: Entry) -> tuple[Refund, ...]:
    found = Entry.objects.filter(
        transaction__reverses=entry.transaction_id,
        transaction__kind=Transaction.Kind.REFUND,
        account=entry.account_id,
    ).order_by("id")
    return tuple(
        Refund(
            transaction_id=row.transaction_id,
            amount_nanos=row.amount,
            created_at=row.created_at,
        )
        for row in found[:REFUNDS_MAX]
    )
