"""Which adapter pays which kind of destination: one entry each."""

from typing import Final

from billing.stripe.transfers import StripeTransfers
from billing.withdrawals.adapters import Adapter
from billing.withdrawals.bank import BankTransfers
from billing.withdrawals.models import Destination

ADAPTERS: Final[dict[str, Adapter]] = {
    Destination.Kind.BANK.value: BankTransfers(),
    Destination.Kind.STRIPE.value: StripeTransfers(),
}


def adapter_of(destination: Destination) -> Adapter:
    """The one that pays it."""
    return ADAPTERS[destination.kind]
