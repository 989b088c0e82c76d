"""Banks: who is paid where, sealed; payments go out in batches that the operator's bank takes."""

import re
from dataclasses import asdict, dataclass
from typing import Final

import orjson
from django.conf import settings

from billing.withdrawals.adapters import Outcome
from billing.withdrawals.models import Destination, Withdrawal
from config.kit import crypto
from config.kit.errors import InvalidRequestError

IBAN: Final = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}", re.ASCII)
BIC: Final = re.compile(r"[A-Z]{6}[A-Z0-9]{2}(?:[A-Z0-9]{3})?", re.ASCII)
HOLDER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 .,'&()/-]{1,69}", re.ASCII)
"""What every bank takes, and no spreadsheet reads as a formula.
Source: EPC217-08, SEPA's character set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BankAccount:
    """holder: the name on the account. bic may be empty."""

    holder: str
    iban: str
    bic: str = ""

    @property
    def label(self) -> str:
        """As people see it."""
        return f"{self.iban[:4]} … {self.iban[-4:]}"


def read_account(holder: str, iban: str, bic: str = "") -> BankAccount:
    """A bank account as people type it.

    Raises: InvalidRequestError, which names the field.
    """
    name, number = " ".join(holder.split()), "".join(iban.split()).upper()
    code = "".join(bic.split()).upper()
    if not HOLDER.fullmatch(name):
        raise InvalidRequestError(
            "The holder's name has 2 to 70 letters, digits and . , ' & ( ) / -, no accents.",
            param="holder",
        )
    if not IBAN.fullmatch(number) or not _adds_up(number):
        raise InvalidRequestError("This is no IBAN: a letter or digit is wrong.", param="iban")
    if code and not BIC.fullmatch(code):
        raise InvalidRequestError("A BIC has 8 or 11 letters and digits.", param="bic")
    return BankAccount(holder=name, iban=number, bic=code)


def seal(destination: Destination, account: BankAccount) -> bytes:
    """Sealed for this destination alone."""
    plain, context = orjson.dumps(asdict(account)), seal_context(destination)
    return crypto.seal(plain, context=context, keys=settings.ENCRYPTION_KEYS)


def unseal(destination: Destination) -> BankAccount:
    """Raises: SealError."""
    sealed, context = bytes(destination.sealed or b""), seal_context(destination)
    plain = crypto.unseal(sealed, context=context, keys=settings.ENCRYPTION_KEYS)
    return BankAccount(**orjson.loads(plain))


class BankTransfers:
    """Nobody is called: a batch is exported, and its outcome is confirmed by a person."""

    def check(self, destination: Destination) -> str:
        try:
            unseal(destination)
        except crypto.SealError:
            return "The bank account does not open: enter it again."
        return ""

    def pay(self, withdrawal: Withdrawal) -> Outcome:
        return self.follow(withdrawal)

    def follow(self, withdrawal: Withdrawal) -> Outcome:
        return Outcome(state="paid" if withdrawal.paid_at else "sent")

    def cancel(self, withdrawal: Withdrawal) -> Outcome:
        return self.follow(withdrawal)


def _adds_up(iban: str) -> bool:
    """Source: ISO 13616 and ISO 7064, MOD 97-10."""
    digits = "".join(str(int(each, 36)) for each in iban[4:] + iban[:4])
    return int(digits) % 97 == 1


def seal_context(destination: Destination) -> str:
    return f"destination:{destination.team_id}:{destination.pk}"
