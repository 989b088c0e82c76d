"""A charge goes to the revenue of the paywall whose request it pays, or nowhere."""

import asyncio

import psycopg
import pytest

from billing import wire
from billing.gate import Gate
from billing.types import Bill
from config.kit import ids
from paywalls.decisions import Allowed
from paywalls.models import Paywall
from tests.billing.conftest import ask, bill, deposit
from tests.factories import PaywallFactory

HELD, CHARGE = 100, 40


@pytest.fixture
async def bills(gate: Gate, payer) -> list[Bill]:
    """Of two requests that hold money."""
    await deposit(gate, payer, 10 * HELD)
    asks = [ask(payer, HELD), ask(payer, HELD)]
    decisions = await asyncio.gather(*map(gate.reserve, asks))
    assert all(isinstance(decision, Allowed) for decision in decisions)
    return [bill(each, CHARGE) for each in asks]


@pytest.fixture
def other() -> Paywall:
    return PaywallFactory.create()


@pytest.fixture
async def strangers(other: Paywall, gate: Gate, bills: list[Bill]) -> list[object]:
    """Accounts that earn nothing from these requests."""
    payer = bills[0].payer
    database, query = gate.database, "SELECT billing_revenue(%s, %s)"
    held = "SELECT account_id FROM ledger_hold WHERE id = %s"
    return [
        await database.value(query, [other.id, True]),
        await database.value(query, [payer.paywall_id, False]),
        await database.value(held, [bills[0].request_id]),
        ids.uuid7(),
    ]


def objects(gate: Gate, bills: list[Bill], to: object) -> list[dict[str, object]]:
    return [gate._bill_object(bills[0]) | {"to": to}, gate._bill_object(bills[1])]


async def states(gate: Gate, bills: list[Bill]) -> list[int]:
    """Of their holds, in order."""
    query = "SELECT state FROM ledger_hold WHERE id = %s"
    return [await gate.database.value(query, [each.request_id]) for each in bills]


async def test_one_bill_is_refused(gate, bills, strangers):
    for to in strangers:
        refused = await gate._batched("settle", "($1)", objects(gate, bills, to)[:1], [])
        assert isinstance(refused[0], psycopg.Error), to
        assert refused[0].sqlstate == "PW004", to
    assert await states(gate, bills) == [0, 0]


async def test_in_a_batch_only_the_one_that_goes_elsewhere_is_refused(gate, bills, strangers):
    with pytest.raises(psycopg.Error) as refused:
        await gate._call("settle", "settle_many($1)", objects(gate, bills, strangers[0]), [])
    assert refused.value.sqlstate == "PW004"
    assert await states(gate, bills) == [0, 0]
    done = await gate._batched("settle", "($1)", objects(gate, bills, strangers[0]), [])
    assert [getattr(done[0], "sqlstate", ""), done[1]["state"]] == ["PW004", "settled"]
    assert await states(gate, bills) == [0, 1]


async def test_a_release_goes_nowhere_and_needs_no_account(gate, bills):
    released = [item | {"charge": 0, "to": None} for item in objects(gate, bills, None)]
    done = await gate._batched("settle", "($1)", released, [])
    assert [wire.settled_of(each).charged_nanos for each in done] == [0, 0]
    assert await states(gate, bills) == [2, 2]
