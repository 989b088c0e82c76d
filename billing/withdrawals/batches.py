"""Bank batches: export what is due, once; confirm what became of each."""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, cast
from uuid import UUID

import orjson
from django.db import connection

from billing.stripe.amounts import shown
from billing.withdrawals import bank, errors, requests
from billing.withdrawals.models import BankBatch, Withdrawal
from config.kit import crypto, ids
from config.kit.db import require_transaction
from config.kit.errors import InvalidRequestError
from paywalls import audit

LINES_MAX: Final = 1_000
HEADER: Final = ("id", "holder", "iban", "bic", "amount", "currency", "reference")
WORDS: Final = ("paid", "failed")


@dataclass(frozen=True, slots=True)
class Line:
    """What a bank says of one withdrawal."""

    withdrawal_id: UUID
    state: Literal["paid", "failed"]
    reason: str


def make(*, livemode: bool, currency: str, actor: str) -> BankBatch | None:
    """A batch of all that is due, in the caller's transaction; None when nothing is."""
    require_transaction()
    batch_id = ids.uuid7()
    facts = {"id": batch_id, "live": livemode, "cur": currency, "actor": actor, "most": LINES_MAX}
    with connection.cursor() as cursor:
        cursor.execute("SELECT billing_bank_batch(%s::jsonb)", [orjson.dumps(facts).decode()])
        (count,) = cursor.fetchone()
    if not count:
        return None
    batch = BankBatch.objects.get(pk=batch_id)
    audit.record(
        paywall=None,
        actor=actor,
        action="withdrawals.exported",
        subject=batch.public_id,
        after={"withdrawals": count},
    )
    return batch


def export(batch: BankBatch) -> str:
    """The batch as CSV, with bank accounts in the clear; the same however often it is asked for.

    Raises: InvalidRequestError for an account that does not open.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEADER)
    for row in _rows(batch):
        try:
            account = bank.unseal(row.destination)
        except crypto.SealError as error:
            raise InvalidRequestError(
                f"{row}: the bank account does not open. Confirm it as failed, then export again."
            ) from error
        amount = shown(row.net, row.currency).split()[0]
        writer.writerow(
            [str(row), account.holder, account.iban, account.bic, amount, row.currency, str(row)]
        )
    return out.getvalue()


def find(text: str) -> BankBatch:
    """Raises: InvalidRequestError."""
    batch_id = ids.decode("batch", text)
    batch = BankBatch.objects.filter(pk=batch_id).first() if batch_id else None
    if batch is None:
        raise InvalidRequestError(f"There is no batch {text!r}.", param="batch")
    return batch


def read_lines(text: str) -> list[Line]:
    """A CSV with the columns id, state (paid or failed) and, if it likes, reason.

    Raises: InvalidRequestError, which names the line. Nothing is confirmed by then.
    """
    found = []
    for number, row in enumerate(csv.DictReader(io.StringIO(text)), start=2):
        withdrawal_id = ids.decode("wd", (row.get("id") or "").strip())
        state = (row.get("state") or "").strip().lower()
        if withdrawal_id is None or state not in WORDS:
            raise InvalidRequestError(
                f"Line {number} has no id such as wd_… or no state (paid or failed).", param="file"
            )
        known = cast("Literal['paid', 'failed']", state)
        found.append(Line(withdrawal_id, known, (row.get("reason") or "").strip()))
    if not found:
        raise InvalidRequestError("The file has no line under its header.", param="file")
    return found


def confirm(batch: BankBatch, lines: Iterable[Line], *, actor: str) -> dict[str, int]:
    """Does what the lines say, in the caller's transaction, all or nothing; how many are paid and
    failed now. The same lines again change nothing.

    Raises: InvalidRequestError, WithdrawalStateError.
    """
    rows = {row.pk: row for row in _rows(batch)}
    counts = dict.fromkeys(WORDS, 0)
    for line in lines:
        if line.withdrawal_id not in rows:
            named = ids.encode("wd", line.withdrawal_id)
            raise InvalidRequestError(f"{named} is not in {batch}.", param="file")
        row = rows[line.withdrawal_id]
        if row.state == Withdrawal.State.FAILED and line.state == "paid":
            raise errors.WithdrawalStateError(f"{row} failed before: its money is back.")
        requests.move(row, Withdrawal.State(line.state), actor=actor, reason=line.reason)
        counts[line.state] += 1
    return counts


def everything(batch: BankBatch) -> list[Line]:
    """Lines that say that all of a batch was paid, but for what has ended already."""
    return [Line(row.pk, "paid", "") for row in _rows(batch) if row.state == Withdrawal.State.SENT]


def _rows(batch: BankBatch) -> list[Withdrawal]:
    return list(batch.withdrawals.select_related("team", "destination").order_by("id"))
