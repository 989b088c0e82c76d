"""A call that was booked, and whose answer was lost, is tried again and finds its own work."""

from billing.gate import Gate
from billing.types import Payer
from tests.billing.conftest import ask, bill, deposit
from tests.billing.test_reaper import lapse_and_reap
from tests.model.doors import LossyLine


def written_off(owner, payer: Payer) -> list[int]:
    rows = owner.execute(
        "SELECT nanos FROM billing_writeoff WHERE paywall_id = %s", [payer.paywall_id]
    ).fetchall()
    return [nanos for (nanos,) in rows]


def lose_the_next_settlement(gate: Gate) -> None:
    line = LossyLine(gate._lines["settle"])
    line.crash = "unanswered"
    gate._lines["settle"] = line


async def test_a_free_chat_is_not_written_off(gate, payer, owner):
    asked = ask(payer, 0)
    await gate.reserve(asked)
    lose_the_next_settlement(gate)
    assert not (await gate.settle(bill(asked, 70))).late
    assert written_off(owner, payer) == []


async def test_a_late_settlement_is_written_off_once(gate, payer, owner):
    await deposit(gate, payer, 100)
    asked = ask(payer, 100)
    await gate.reserve(asked)
    lapse_and_reap(owner, asked.request_id)
    lose_the_next_settlement(gate)
    assert (await gate.settle(bill(asked, 70))).late
    assert written_off(owner, payer) == [70]
