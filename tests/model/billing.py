"""Users, references and Idempotency-Keys in plain Python: what `billing/sql` must come to.

Answers are tuples that begin with a word; `tests.model.doors` makes the same of the product's.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from tests.model.ledger import NO_ID, Caps, Hold, Ledger, Lot, Refusal, Spent, Wallet

type Answer = tuple[Any, ...]

MISMATCH: Final[Answer] = ("repeated", "mismatch", None, 0)
SOURCES: Final = {"deposit": "external", "bonus": "promo", "adjustment": "external"}


@dataclass(frozen=True)
class Terms:
    """What a door is told of a user. trial: nanos and requests, for a new one."""

    trial: tuple[int, int] = (0, 0)
    caps: Caps | None = None


@dataclass(eq=False)
class Booked:
    """What stands under a reference. said: all that a repetition must say again."""

    transaction: UUID
    said: object
    amount: int


@dataclass(eq=False, kw_only=True)
class Charge(Spent):
    """One that can be refunded. Of a chat only the hold is known, of a manual one only the id."""

    user: str
    hold: UUID | None = None
    transaction: UUID | None = None


class Books(Ledger):
    """All of one paywall."""

    def __init__(self, now: dt.datetime, today: dt.date) -> None:
        super().__init__(now, today)
        self.paused = False
        self.chats: dict[int, tuple[int, UUID]] = {}
        self.booked: dict[tuple[object, ...], Booked] = {}
        self.charges: list[Charge] = []

    def view(self) -> dict[str, Any]:
        """What must be equal in the database."""
        return {
            "wallets": {name: _wallet_view(wallet) for name, wallet in self.wallets.items()},
            "holds": {str(h.id): [h.ends, h.amount, h.charged] for h in self.holds.values()},
            "tallies": {
                subject: [tally.open, tally.requests, tally.day_spent, tally.month_spent]
                for subject, tally in self.tallies.items()
            },
            "accounts": {kind: nanos for kind, nanos in self.accounts.items() if nanos},
            "kinds": dict(self.kinds),
            "chats": len(self.chats),
            "late": self.late_nanos,
        }

    def user(self, name: str, terms: Terms) -> Wallet:
        """A user's wallet; a new one comes with the trial."""
        if name not in self.wallets:
            nanos, requests = terms.trial
            wallet = self.wallets[name] = Wallet(trials_left=requests)
            if nanos:
                self.credit("trial", wallet, nanos, "trial", Lot("trial", None, nanos, 0, None))
        return self.wallets[name]

    def reserve(
        self,
        request: UUID,
        name: str,
        amounts: tuple[int, int],
        chat: tuple[int, int] | None,
        terms: Terms,
    ) -> Answer:
        """A chat's hold. amounts: wanted, least. chat: its Idempotency-Key and its fingerprint."""
        if self.paused:
            return ("paywall_paused",)
        wallet = self.user(name, terms)
        earlier = self._claim(chat, request) if chat else None
        if earlier:
            return earlier
        trial = wallet.trials_left > 0
        want, least = (0, 0) if trial else amounts
        try:
            hold = self.place(request, name, want, least, _caps(name, terms))
        except Refusal as refusal:
            if chat:
                del self.chats[chat[0]]
            return refusal.args
        hold.trial = trial
        wallet.trials_left -= trial
        return ("allowed", hold.amount, trial)

    def _claim(self, chat: tuple[int, int], request: UUID) -> Answer | None:
        """None: the key is the request's now. Else what its earlier request came to."""
        key, fingerprint = chat
        kept, earlier = self.chats.get(key, (fingerprint, request))
        if kept != fingerprint:
            return MISMATCH
        hold = self.holds.get(earlier)
        if hold and not (hold.ends == "released" and hold.failed):
            state = "in_progress" if hold.ends == "open" else "completed"
            return ("repeated", state, hold.id, hold.charged)
        self.chats[key] = (fingerprint, request)
        return None

    def settle(self, hold: Hold, charge: int, *, failed: bool) -> int:
        was_open = hold.ends == "open"
        charged = super().settle(hold, charge, failed=failed)
        if was_open and charged and hold.id != NO_ID:
            self.charges.append(Charge(charged, hold.parts, user=hold.user, hold=hold.id))
        return charged

    def charge(
        self, transaction: UUID, name: str, amount: int, ref: object, terms: Terms
    ) -> Answer:
        """A manual charge: a hold that is settled at once."""
        if self.paused:
            return ("paywall_paused",)
        self.user(name, terms)
        said = (name, amount)
        earlier = self.booked.get(("charge", ref))
        if earlier:
            return ("booked", earlier.amount, True) if earlier.said == said else MISMATCH
        try:
            hold = self.place(NO_ID, name, amount, amount, _caps(name, terms))
        except Refusal as refusal:
            return refusal.args
        self.settle(hold, amount, failed=False)
        del self.holds[NO_ID]
        self.charges.append(Charge(amount, hold.parts, user=name, transaction=transaction))
        self._keep("charge", ref, Booked(transaction, said, amount))
        return ("booked", amount, False)

    def pay_in(
        self,
        kind: str,
        booked: Booked,
        name: str,
        ref: object,
        terms: Terms,
        expires: dt.datetime | None = None,
    ) -> Answer:
        """Deposits, bonuses and adjustments up. What expires or is given away is a lot."""
        earlier = self.booked.get((kind, ref))
        if earlier:
            return ("booked", booked.amount, True) if earlier.said == booked.said else MISMATCH
        lot = Lot(kind, booked.transaction, booked.amount, 0, expires)
        self.credit(
            kind,
            self.user(name, terms),
            booked.amount,
            SOURCES[kind],
            lot if expires or kind == "bonus" else None,
        )
        self._keep(kind, ref, booked)
        return ("booked", booked.amount, False)

    def take_back(self, booked: Booked, name: str, ref: object) -> Answer:
        """An adjustment down."""
        earlier = self.booked.get(("adjustment", ref))
        if earlier:
            return ("booked", booked.amount, True) if earlier.said == booked.said else MISMATCH
        self.claw(self.user(name, Terms()), booked.amount)
        self._keep("adjustment", ref, booked)
        return ("booked", booked.amount, False)

    def refund(self, charge: Charge, booked: Booked, ref: object) -> Answer:
        """Gives back; all refunds of a charge never pass it."""
        key = (charge.transaction, ref)
        earlier = self.booked.get(("refund", key)) if ref else None
        others = charge.back - (earlier.amount if earlier else 0)
        if booked.amount > charge.amount - others:
            return ("too large",)
        if earlier:
            return ("booked", booked.amount, True) if earlier.said == booked.said else MISMATCH
        self.repay(self.wallets[charge.user], booked.amount, charge)
        charge.back += booked.amount
        self._keep("refund", key if ref else None, booked)
        return ("booked", booked.amount, False)

    def _keep(self, kind: str, ref: object, booked: Booked) -> None:
        if ref is not None:
            self.booked[kind, ref] = booked


def _caps(name: str, terms: Terms) -> Caps:
    return {f"user {name}" if s == "user" else s: kinds for s, kinds in (terms.caps or {}).items()}


def _wallet_view(wallet: Wallet) -> dict[str, Any]:
    return {
        "posted": wallet.posted,
        "held": wallet.held,
        "owed": wallet.owed,
        "floor": wallet.floor,
        "trials_left": wallet.trials_left,
        "lots": [
            [lot.kind, lot.amount, lot.remaining, lot.held]
            for lot in wallet.in_order()
            if lot.remaining
        ],
    }
