"""Banks: what people type is checked and sealed; a batch is exported once and confirmed once."""

import csv
import io
from typing import Any

import pytest
from django.db import transaction

from billing.withdrawals import bank, batches, errors, requests
from billing.withdrawals.models import BankBatch, Withdrawal
from config.kit import crypto
from config.kit.errors import InvalidRequestError
from tests.billing.withdrawals.conftest import IBAN, UNIT, Earner, set_terms
from tests.factories import ACTOR
from tests.support.commands import run, run_json


def make(earner: Earner) -> BankBatch | None:
    with transaction.atomic():
        return batches.make(livemode=earner.livemode, currency="USD", actor=ACTOR)


def mine(earner: Earner) -> BankBatch:
    """A batch with what is due, which others' tests may have left more of."""
    made = make(earner)
    assert made is not None
    return made


def confirm(batch: BankBatch, text: str) -> dict[str, int]:
    with transaction.atomic():
        return batches.confirm(batch, batches.read_lines(text), actor=ACTOR)


@pytest.mark.parametrize(
    ("holder", "iban", "bic", "param"),
    [
        ("A", IBAN, "", "holder"),
        ("=HYPERLINK(1)", IBAN, "", "holder"),
        ("Ada\nLovelace;", IBAN, "", "holder"),
        ("Ada Lovelace", "DE89370400440532013001", "", "iban"),
        ("Ada Lovelace", "DE8937040044053201300", "", "iban"),
        ("Ada Lovelace", "", "", "iban"),
        ("Ada Lovelace", IBAN, "COBADEF", "bic"),
    ],
)
def test_what_is_no_account_is_refused_by_field(holder: str, iban: str, bic: str, param: str):
    with pytest.raises(InvalidRequestError) as refused:
        bank.read_account(holder, iban, bic)
    assert refused.value.param == param


def test_an_account_is_read_as_people_write_it():
    read = bank.read_account(" Ada  Lovelace ", "gb29 NWBK 6016 1331 9268 19", "nwbkgb2l")
    assert (read.holder, read.iban, read.bic) == (
        "Ada Lovelace",
        "GB29NWBK60161331926819",
        "NWBKGB2L",
    )
    assert read.label == "GB29 … 6819"


def test_it_is_sealed_for_its_destination_alone(earner: Earner):
    first, second = earner.bank(), earner.bank()
    assert bank.unseal(second).iban == IBAN
    assert IBAN.encode() not in bytes(second.sealed)
    second.sealed = first.sealed
    with pytest.raises(crypto.SealError):
        bank.unseal(second)


def test_a_batch_takes_what_is_due_once(earner: Earner):
    set_terms(approval_above_nanos=50 * UNIT)
    earner.cleared(200 * UNIT)
    due, waiting = earner.withdraw(20_500_000_000), earner.withdraw(60 * UNIT)
    batch = mine(earner)
    text = batches.export(batch)
    rows = {row["id"]: row for row in csv.DictReader(io.StringIO(text))}
    row = rows[due.public_id]
    assert (row["iban"], row["amount"], row["reference"]) == (IBAN, "20.50", due.public_id)
    assert waiting.public_id not in rows
    assert make(earner) is None
    assert batches.export(batch) == text
    assert requests.find(due.pk).state == "sent"


def test_a_new_destination_is_not_exported_before_its_time(earner: Earner):
    set_terms(destination_delay_hours=1)
    earner.cleared(20 * UNIT).withdraw(UNIT)
    assert make(earner) is None


def test_live_and_test_money_share_no_batch(earner: Earner, tester: Earner):
    live, test = earner.cleared(9 * UNIT).withdraw(UNIT), tester.cleared(9 * UNIT).withdraw(UNIT)
    found = batches.export(mine(tester))
    assert test.public_id in found
    assert live.public_id not in found


def test_a_file_confirms_all_or_nothing_and_once(earner: Earner):
    earner.cleared(100 * UNIT)
    paid, failed = earner.withdraw(10 * UNIT), earner.withdraw(20 * UNIT)
    batch = mine(earner)
    lines = f"id,state,reason\n{paid},paid,\n{failed},FAILED,account closed\n"
    with pytest.raises(InvalidRequestError, match="Line 4"):
        confirm(batch, f"{lines}{paid},perhaps,\n")
    with pytest.raises(InvalidRequestError, match="is not in"):
        confirm(batch, f"{lines}wd_{'0' * 26},paid,\n")
    assert requests.find(paid.pk).state == "sent"
    for _ in range(2):
        assert confirm(batch, lines) == {"paid": 1, "failed": 1}
    assert requests.find(failed.pk).reason == "account closed"
    assert earner.figures == (0, 90 * UNIT, 90 * UNIT)
    with pytest.raises(errors.WithdrawalStateError, match="failed before"):
        confirm(batch, f"id,state\n{failed},paid\n")
    assert confirm(batch, f"id,state,reason\n{paid},failed,returned\n")["failed"] == 1
    assert earner.figures == (0, 100 * UNIT, 100 * UNIT)


def test_a_whole_batch_is_confirmed_but_for_what_ended(earner: Earner):
    earner.cleared(100 * UNIT)
    rows = [earner.withdraw(10 * UNIT) for _ in range(3)]
    batch = mine(earner)
    confirm(batch, f"id,state\n{rows[0]},failed\n")
    with transaction.atomic():
        batches.confirm(batch, batches.everything(batch), actor=ACTOR)
    states = [requests.find(row.pk).state for row in rows]
    assert states == [Withdrawal.State.FAILED, Withdrawal.State.PAID, Withdrawal.State.PAID]


def test_a_destination_that_was_changed_meanwhile_does_not_move_what_is_on_its_way(earner: Earner):
    made = earner.cleared(20 * UNIT).withdraw(UNIT)
    earner.bank("GB29NWBK60161331926819")
    assert f"{made.public_id},Ada Lovelace,{IBAN}" in batches.export(mine(earner))


def test_a_new_encryption_key_takes_bank_accounts_along(earner: Earner, settings: Any):
    made, old = earner.bank(), settings.ENCRYPTION_KEYS
    settings.ENCRYPTION_KEYS = (b"n" * 32, *old)
    assert run_json("reseal")["resealed"] >= 1
    settings.ENCRYPTION_KEYS = (b"n" * 32,)
    made.refresh_from_db()
    try:
        assert bank.unseal(made).iban == IBAN
    finally:
        settings.ENCRYPTION_KEYS = (*old, b"n" * 32)
        run("reseal")
