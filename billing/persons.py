"""What a person with a wallet of their own sees of the books, over all apps."""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from billing.history import HistoryLine, history
from billing.models import Charge
from billing.types import Page
from config.kit.limits import PAGE_ROWS
from ledger.models import Account, Transaction
from paywalls.models import Paywall


@dataclass(frozen=True, slots=True, kw_only=True)
class Purse:
    """A person's wallet, amounts in nanos. account_id is None while nothing was ever on it."""

    account_id: UUID | None
    currency: str
    posted_nanos: int
    held_nanos: int
    owed_nanos: int

    @property
    def free_nanos(self) -> int:
        return self.posted_nanos - self.held_nanos

    @property
    def is_empty(self) -> bool:
        return not (self.posted_nanos or self.held_nanos or self.owed_nanos)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One movement on a wallet, and the app it was for; empty where it was for none."""

    movement: HistoryLine
    app: str


def purse(person_id: UUID, *, livemode: bool, currency: str) -> Purse:
    """The wallet as it is now."""
    found = Account.objects.filter(
        kind=Account.Kind.WALLET, owner=person_id, livemode=livemode, currency=currency
    ).first()
    return Purse(
        account_id=found.pk if found else None,
        currency=currency,
        posted_nanos=found.posted if found else 0,
        held_nanos=found.held if found else 0,
        owed_nanos=found.owed if found else 0,
    )


def activity(purse: Purse, *, before: int | None = None, rows: int = PAGE_ROWS) -> Page[Line, int]:
    """The newest movements on a wallet, or those before the entry `before`."""
    if purse.account_id is None:
        return Page(items=(), next=None)
    page = history(purse.account_id, before=before, rows=rows)
    apps = _apps([each.transaction_id for each in page.items])
    lines = (Line(movement=each, app=apps.get(each.transaction_id, "")) for each in page.items)
    return Page(items=tuple(lines), next=page.next)


def _apps(transactions: Iterable[UUID]) -> dict[UUID, str]:
    """The names of the apps that these charges, and refunds of charges, were for."""
    asked = list(transactions)
    refunds = Transaction.objects.filter(pk__in=asked, reverses__isnull=False)
    charge_of = {each: each for each in asked} | dict(refunds.values_list("pk", "reverses_id"))
    charges = Charge.objects.filter(pk__in=set(charge_of.values()))
    paywall_of = dict(charges.values_list("pk", "paywall_id"))
    names = dict(Paywall.objects.filter(pk__in=set(paywall_of.values())).values_list("pk", "name"))
    return {
        each: names[paywall_of[charge]]
        for each, charge in charge_of.items()
        if charge in paywall_of
    }
