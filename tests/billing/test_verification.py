"""Runs over what is new: nothing is skipped, nothing is wrongly accused, each run is bounded."""

from itertools import pairwise
from uuid import UUID

import psycopg
import pytest
from django.conf import settings

from billing import movements, tasks, verification
from billing.movements import Reason
from billing.types import Ask
from billing.verification import verify_new
from config.kit import ids
from ledger.models import Entry, Verification
from paywalls.models import Paywall
from tests.billing.conftest import ask, bill, deposit

WHY = Reason(actor="dev_1", reason="because")
OPEN_TO_ALL = {"I8", "I20", "I25"}
"""What other tests leave behind on purpose."""


@pytest.fixture
def paywall(payer) -> Paywall:
    """With its accounts: who makes one while another makes it waits for that one."""
    found = Paywall.objects.get(id=payer.paywall_id)
    for user in ("u", "late"):
        movements.deposit(found, user, 1_000, WHY)
    return found


@pytest.fixture
def caught_up() -> Verification:
    """All that other tests wrote has been looked at."""
    latest = Entry.objects.order_by("-id").values_list("id", flat=True).first() or 0
    while verify_new() is not None:
        run = Verification.objects.latest("id")
        if run.upto is not None and run.upto >= latest:
            return run
    raise AssertionError("a transaction writes for ever")


@pytest.fixture
def writer():
    """A deposit of the product's that is written and not yet committed."""
    with psycopg.connect(settings.DATABASE_URL) as opened:
        yield opened
        opened.rollback()


def write(writer: psycopg.Connection, paywall: Paywall) -> None:
    writer.execute(
        "SELECT billing_credit(jsonb_build_object('id', %s::text, 'kind', 'deposit',"
        " 'ref', 'late', 'paywall', %s::text, 'key', NULL, 'live', true, 'cur', 'USD',"
        " 'user', 'late', 'amount', 7, 'from', 'external', 'actor', 'a', 'reason', 'r'))",
        [str(ids.uuid7()), str(paywall.id)],
    )


def broken() -> set[str]:
    results = verify_new()
    assert results is not None
    return {each.number for each in results if each.broken} - OPEN_TO_ALL


def test_a_run_goes_on_where_the_last_one_ended(paywall, caught_up):
    movements.deposit(paywall, "u", 100, WHY)
    assert broken() == set()
    run = Verification.objects.latest("id")
    assert run.upto == Entry.objects.latest("id").id
    assert run.upto != caught_up.upto
    assert broken() == set()
    assert Verification.objects.latest("id").upto == run.upto


def test_old_damage_is_left_to_the_whole_run_and_new_damage_is_not(paywall, caught_up, owner):
    movements.deposit(paywall, "u", 100, WHY)
    charge = movements.charge(paywall, "u", 5, WHY).transaction_id
    change = "UPDATE billing_charge SET charged = charged + %s WHERE transaction_id = %s"
    owner.execute(change, [1, charge])
    assert broken() == {"I23"}
    assert broken() == set()
    owner.execute(change, [-1, charge])


def test_what_is_committed_late_is_neither_skipped_nor_accused(
    paywall, caught_up, writer, monkeypatch
):
    """Its ids are lower than those of what is committed before it."""
    monkeypatch.setattr("ledger.watermark.WAIT_S", 0.1)
    write(writer, paywall)
    movements.deposit(paywall, "u", 100, WHY)
    assert verify_new() is None
    assert Verification.objects.latest("id") == caught_up
    writer.commit()
    monkeypatch.undo()
    late = Entry.objects.get(amount=7, transaction__ref="late")
    assert late.id < Entry.objects.latest("id").id
    with psycopg.connect(settings.DATABASE_OWNER_URL, autocommit=True) as owner:
        disabled = "ALTER TABLE ledger_entry {} TRIGGER entry_kept"
        owner.execute(disabled.format("DISABLE"))
        owner.execute("UPDATE ledger_entry SET amount = 8 WHERE id = %s", [late.id])
        found = broken()
        owner.execute("UPDATE ledger_entry SET amount = 7 WHERE id = %s", [late.id])
        owner.execute(disabled.format("ENABLE"))
    assert {"I1", "I2", "I6"} <= found


def test_a_writer_that_gives_up_holds_nobody_up(paywall, caught_up, writer):
    write(writer, paywall)
    writer.rollback()
    movements.deposit(paywall, "u", 100, WHY)
    assert broken() == set()
    assert Verification.objects.latest("id").upto == Entry.objects.latest("id").id


def test_a_run_is_bounded_and_the_next_goes_on(paywall, caught_up, monkeypatch):
    monkeypatch.setattr(verification, "ENTRIES_MAX", 2)
    for _ in range(3):
        movements.deposit(paywall, "u", 100, WHY)
    seen = []
    while not seen or seen[-1] < Entry.objects.latest("id").id:
        assert broken() == set()
        seen.append(Verification.objects.latest("id").upto)
    assert len(seen) >= 3
    assert max(after - before for before, after in pairwise(seen)) <= 2


async def test_open_holds_wait_for_a_later_run(gate, payer, monkeypatch):
    """Their requests are written when they end."""
    monkeypatch.setattr(verification, "LATE_S", 0)
    await deposit(gate, payer, 1_000)
    asked = ask(payer, 10)
    await gate.reserve(asked)
    assert ended_upto(asked) <= asked.request_id
    await gate.settle(bill(asked, 5))
    assert ended_upto(asked) > asked.request_id


def ended_upto(asked: Ask) -> UUID:
    """As if all other holds had ended."""
    with psycopg.connect(settings.DATABASE_OWNER_URL) as scratch:
        scratch.execute(
            "UPDATE ledger_hold SET state = 2, resolved_at = now() WHERE state = 0 AND id <> %s",
            [asked.request_id],
        )
        upto: UUID
        ((upto,),) = scratch.execute(verification.ENDED, [verification.LATE_S]).fetchall()
        scratch.rollback()
    return upto


def test_the_task_says_what_is_broken(paywall, caught_up, owner):
    movements.deposit(paywall, "u", 100, WHY)
    charge = movements.charge(paywall, "u", 5, WHY).transaction_id
    change = "UPDATE billing_charge SET charged = charged + %s WHERE transaction_id = %s"
    owner.execute(change, [1, charge])
    assert set(tasks.verify_new_entries()) - OPEN_TO_ALL == {"I23"}
    owner.execute(change, [-1, charge])


def test_old_clean_runs_are_forgotten_and_broken_ones_kept(caught_up):
    old = {"started_at": "2020-01-01T00:00Z", "finished_at": "2020-01-01T00:00Z", "results": []}
    new_clean = Verification.objects.create(**old, ok=True, upto=1)
    kept = [
        Verification.objects.create(**old, ok=False, upto=1),
        Verification.objects.create(**old, ok=True),
    ]
    verification.forget_old_runs()
    left = set(Verification.objects.filter(started_at__year=2020))
    assert set(kept) <= left
    assert new_clean not in left
    Verification.objects.filter(started_at__year=2020).delete()
