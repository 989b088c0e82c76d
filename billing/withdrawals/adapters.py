"""What pays a destination: one interface for Stripe, banks and whatever comes.

The rows decide: an adapter moves nothing in the ledger, it says what became of the payment. It is
asked again until it says an end, also after a crash in between, so everything it does must be known
by the withdrawal's id at its side.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from billing.withdrawals.models import Destination, Withdrawal


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a payment.

    sent: it may still be paid, look again after next_s seconds (None: somebody will tell). paid:
    it arrived, or is out of our hands; with next_s it is looked at for being sent back. failed:
    it will never arrive, or came back. facts: ids at the payer's side, kept with the withdrawal.
    """

    state: Literal["sent", "paid", "failed"]
    reason: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)
    next_s: int | None = None


class Adapter(Protocol):
    """Every method may be called any number of times; those that call out raise PaywallsError
    when nobody can be asked now. pay and follow are called outside any transaction.
    """

    def check(self, destination: Destination) -> str:
        """Why the destination cannot be paid to; empty when it can."""
        ...

    def pay(self, withdrawal: Withdrawal) -> Outcome:
        """Have `net` paid. Called again, it finds what it began."""
        ...

    def follow(self, withdrawal: Withdrawal) -> Outcome:
        """Where the payment is."""
        ...

    def cancel(self, withdrawal: Withdrawal) -> Outcome:
        """Stop what is on its way: failed if that is certain, else as `follow`."""
        ...
