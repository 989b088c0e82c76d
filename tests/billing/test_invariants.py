"""Every invariant is clean after real work and finds the damage it is there for."""

import io
from collections.abc import Iterator
from uuid import UUID

import psycopg
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from billing import movements
from billing.invariants import BILLING
from billing.movements import Reason
from billing.verification import Window, checks, verify
from ledger.invariants import LEDGER
from ledger.models import Entry, Verification
from paywalls import rules
from paywalls.models import EndUser, Paywall, PriceVersion
from paywalls.pricing import Rates
from tests.billing.conftest import ask, bill, deposit
from tests.support.shared import allow, give, make_person, shared_payer
from tests.support.surgery import surgery

WHY = Reason(actor="dev_1", reason="because")
NUMBERS = {invariant.number for invariant in (*LEDGER, *BILLING)} | {"I18", "I19"}
OPEN_TO_ALL = {"I8", "I20", "I25"}
"""What other tests leave behind on purpose."""

NO_WINDOW = {each.number for each in (*LEDGER, *BILLING) if each.recent is None}

DAMAGE = [
    pytest.param(
        "I1",
        "DELETE FROM ledger_entry WHERE transaction_id = %(charge)s AND amount > 0",
        marks=pytest.mark.proves("I1"),
    ),
    pytest.param(
        "I1",
        "DELETE FROM ledger_entry WHERE transaction_id = %(charge)s",
        id="I1-without-entries",
    ),
    pytest.param(
        "I1",
        "DELETE FROM ledger_transaction WHERE id = %(charge)s",
        id="I1-without-transaction",
    ),
    pytest.param(
        "I2",
        "UPDATE ledger_entry SET amount = amount + 1 WHERE id = (SELECT min(id) FROM mine)",
        marks=pytest.mark.proves("I2"),
    ),
    pytest.param(
        "I3",
        "UPDATE ledger_account SET posted = posted + 1 WHERE id = %(wallet)s",
        marks=pytest.mark.proves("I3"),
    ),
    pytest.param(
        "I4",
        "UPDATE ledger_account SET held = held + 1 WHERE id = %(wallet)s",
        marks=pytest.mark.proves("I4"),
    ),
    pytest.param(
        "I4",
        "UPDATE ledger_lot SET held = held + 1 WHERE account_id = %(wallet)s",
        id="I4-lot",
    ),
    pytest.param(
        "I5",
        "UPDATE ledger_account SET floor = posted + 1 WHERE id = %(wallet)s",
        marks=pytest.mark.proves("I5"),
    ),
    pytest.param(
        "I5",
        "UPDATE ledger_lot SET remaining = 9999, amount = 9999 WHERE account_id = %(wallet)s",
        id="I5-lots",
    ),
    pytest.param(
        "I6",
        "UPDATE ledger_entry SET balance_after = balance_after + 1"
        " WHERE id = (SELECT min(id) FROM mine)",
        marks=pytest.mark.proves("I6"),
    ),
    pytest.param(
        "I6",
        "DELETE FROM ledger_entry WHERE id = (SELECT min(id) FROM mine)",
        id="I6-gap",
    ),
    pytest.param(
        "I7",
        "UPDATE ledger_hold SET settled = settled - 1 WHERE account_id = %(wallet)s",
        marks=pytest.mark.proves("I7"),
    ),
    pytest.param(
        "I7",
        "DELETE FROM ledger_transaction WHERE id = %(charge)s",
        id="I7-hold-without-charge",
    ),
    pytest.param(
        "I7",
        "DELETE FROM ledger_hold WHERE account_id = %(wallet)s",
        id="I7-charge-without-hold",
    ),
    pytest.param(
        "I8",
        "WITH spared AS (UPDATE ledger_sweep SET grace_until = NULL)"
        " UPDATE ledger_hold SET state = 0, lease_until = now() - interval '1 h',"
        " resolved_at = NULL, settled = NULL WHERE account_id = %(wallet)s",
        marks=pytest.mark.proves("I8"),
    ),
    pytest.param(
        "I9",
        "UPDATE ledger_hold SET resolved_at = created_at - interval '1 s'"
        " WHERE account_id = %(wallet)s",
        marks=pytest.mark.proves("I9"),
    ),
    pytest.param(
        "I10",
        "DELETE FROM billing_charge WHERE paywall_id = %(paywall)s",
        marks=pytest.mark.proves("I10"),
    ),
    pytest.param(
        "I11",
        "UPDATE ledger_transaction SET kind = 'topup', ref = 'cs_' || id WHERE id ="
        " (SELECT transaction_id FROM ledger_entry WHERE id = (SELECT min(id) FROM mine))",
    ),
    pytest.param(
        "I12",
        "UPDATE ledger_entry SET amount = 100000 WHERE transaction_id IN"
        " (SELECT id FROM ledger_transaction WHERE reverses_id = %(charge)s)"
        " AND account_id = %(wallet)s",
        marks=pytest.mark.proves("I12"),
    ),
    pytest.param(
        "I15",
        "UPDATE ledger_account SET currency = 'EUR' WHERE id = %(wallet)s",
        marks=pytest.mark.proves("I15"),
    ),
    pytest.param(
        "I15",
        "UPDATE ledger_account SET livemode = NOT livemode WHERE id = %(wallet)s",
        id="I15-mode",
    ),
    pytest.param(
        "I14",
        "UPDATE ledger_transaction SET kind = 'withdrawal' WHERE id = %(charge)s",
    ),
    pytest.param(
        "I16",
        "UPDATE billing_charge SET paywall_id = gen_random_uuid() WHERE paywall_id = %(paywall)s",
        marks=pytest.mark.proves("I16"),
    ),
    pytest.param(
        "I16",
        "UPDATE paywalls_grant SET revoked_at = created_at - interval '1 h' WHERE id = %(grant)s",
        id="I16-not-allowed",
    ),
    pytest.param(
        "I13",
        "DELETE FROM billing_split WHERE transaction_id = %(shared)s",
        marks=pytest.mark.proves("I13"),
    ),
    pytest.param(
        "I13",
        "UPDATE billing_split SET fee = fee + 1, earned = earned - 1"
        " WHERE transaction_id = %(shared)s",
        id="I13-fee",
    ),
    pytest.param(
        "I13",
        "UPDATE ledger_account SET owner = gen_random_uuid() WHERE kind = 'earnings_pending'"
        " AND id IN (SELECT account_id FROM ledger_entry WHERE transaction_id = %(shared)s)",
        id="I13-owner",
    ),
    pytest.param(
        "I13",
        "DELETE FROM billing_split WHERE transaction_id IN"
        " (SELECT id FROM ledger_transaction WHERE reverses_id = %(shared)s)",
        id="I13-refund",
    ),
    pytest.param(
        "I17",
        "INSERT INTO billing_idempotency VALUES"
        " (%(paywall)s, true, 'k', 'f', gen_random_uuid(), now())",
        marks=pytest.mark.proves("I17"),
    ),
    pytest.param(
        "I18",
        "ALTER TABLE ledger_entry DISABLE TRIGGER entry_kept",
        marks=pytest.mark.proves("I18"),
    ),
    pytest.param(
        "I19",
        "UPDATE billing_charge SET rate_id = %(rate)s, usage = '{}'"
        " WHERE transaction_id = %(charge)s",
        marks=pytest.mark.proves("I19"),
    ),
    pytest.param(
        "I20",
        "INSERT INTO billing_delivery SELECT gen_random_uuid(), gen_random_uuid(),"
        " gen_random_uuid(), %(paywall)s, 'paywall.updated', 'pending', 1, now() - interval '2 h',"
        " NULL, NULL, NULL, '', '', now(), now()",
        marks=pytest.mark.proves("I20"),
    ),
    pytest.param(
        "I25",
        "UPDATE ledger_lot SET expires_at = now() - interval '2 h' WHERE account_id = %(wallet)s",
    ),
    pytest.param(
        "I21",
        "UPDATE ledger_transaction SET kind = 'reversal', ref = 're_1:1' WHERE kind = 'bonus'"
        " AND id IN (SELECT transaction_id FROM ledger_entry WHERE account_id = %(wallet)s)",
    ),
    pytest.param(
        "I22",
        "UPDATE ledger_entry SET amount = 2000000000000000000"
        " WHERE id = (SELECT min(id) FROM mine)",
        marks=pytest.mark.proves("I22"),
    ),
    pytest.param(
        "I23", "UPDATE billing_charge SET charged = charged + 1 WHERE paywall_id = %(paywall)s"
    ),
    pytest.param("I24", "UPDATE ledger_account SET owed = owed + 1 WHERE id = %(wallet)s"),
]


@pytest.fixture
def worked(payer) -> dict[str, object]:
    """A paywall on which every kind of movement happened, and the window of all that."""
    before = Entry.objects.order_by("-id").values_list("id", flat=True).first() or 0
    paywall = Paywall.objects.get(id=payer.paywall_id)
    movements.deposit(paywall, "u", 1_000, WHY)
    movements.bonus(paywall, "u", 50, WHY)
    charged = movements.charge(paywall, "u", 30, WHY).transaction_id
    movements.refund(charged, 10, WHY)
    movements.adjust(paywall, "u", -5, WHY)
    version = PriceVersion.objects.create(paywall=paywall, number=99, actor="t")
    shared, grant = work_shared()
    return {
        "paywall": paywall.id,
        "wallet": EndUser.objects.get(paywall=paywall).wallet_id,
        "charge": charged,
        "shared": shared,
        "grant": grant,
        "rate": rules.rate_id(version.pk, "m", "", Rates(request=29), None),
        "window": Window(
            since=before,
            upto=Entry.objects.latest("id").id,
            ids_since=UUID(int=paywall.id.int),
            ids_upto=UUID(int=2**128 - 1),
        ),
    }


def work_shared() -> tuple[UUID, UUID]:
    """A Shared charge that was partly given back, and the grant that allowed it."""
    person, payer = make_person(), shared_payer()
    give(person, 1_000)
    grant = allow(person, payer)
    paywall = Paywall.objects.get(id=payer.paywall_id)
    charged = movements.charge(paywall, payer.user, 30, WHY).transaction_id
    movements.refund(charged, 10, WHY)
    return charged, grant.pk


@pytest.fixture
def surgeon(worked) -> Iterator[psycopg.Connection]:
    with surgery() as opened:
        opened.execute(
            "CREATE TEMP VIEW mine AS SELECT id FROM ledger_entry WHERE account_id = '"
            f"{worked['wallet']}'"
        )
        yield opened


def found(surgeon: psycopg.Connection, window: Window | None) -> dict[str, int]:
    """How many rows break each invariant."""
    broken = {result.number: result.broken for result in checks(surgeon.cursor(), window)}
    surgeon.execute("CLOSE ALL")
    return broken


@pytest.mark.parametrize(("number", "damage"), DAMAGE)
def test_each_invariant_finds_its_damage(number, damage, worked, surgeon):
    before = found(surgeon, None)
    surgeon.execute(damage, {k: v for k, v in worked.items() if k != "window"})
    assert found(surgeon, None)[number] > before[number]


@pytest.mark.parametrize(
    ("number", "damage"), [case for case in DAMAGE if case.values[0] not in NO_WINDOW]
)
def test_the_same_within_a_minute(number, damage, worked, surgeon):
    before = found(surgeon, worked["window"])
    assert {each for each, broken in before.items() if broken} <= OPEN_TO_ALL
    surgeon.execute(damage, {k: v for k, v in worked.items() if k != "window"})
    assert found(surgeon, worked["window"])[number] > before[number]


def test_there_is_damage_for_all_of_them():
    assert {case.values[0] for case in DAMAGE} == NUMBERS


def test_i16_finds_a_grant_that_counts_wrongly(worked, surgeon):
    before = found(surgeon, None)
    surgeon.execute(
        "UPDATE ledger_counter SET total_spent = total_spent - 1 WHERE id = %s", [worked["grant"]]
    )
    assert found(surgeon, None)["I16"] == before["I16"] + 1


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE billing_daily SET charged = charged + 1 WHERE paywall_id = %(paywall)s",
        "DELETE FROM billing_daily WHERE paywall_id = %(paywall)s",
    ],
)
def test_i23_finds_a_wrong_day(damage, worked, surgeon):
    before = found(surgeon, None)
    surgeon.execute(damage, {"paywall": worked["paywall"]})
    assert found(surgeon, None)["I23"] == before["I23"] + 1


async def test_i10_finds_a_hold_without_its_request(worked, gate, payer):
    await deposit(gate, payer, 100)
    asks = [ask(payer, 10), ask(payer, 10)]
    for each in asks:
        await gate.reserve(each)
        await gate.settle(bill(each, 5))
    with psycopg.connect(settings.DATABASE_OWNER_URL) as scratch:
        scratch.execute("DELETE FROM billing_request WHERE id = %s", [asks[1].request_id])
        for window in (None, worked["window"]):
            assert found(scratch, window)["I10"] == 1
        scratch.rollback()


def test_more_damage_than_can_be_counted_ends_soon(worked, surgeon, monkeypatch):
    monkeypatch.setattr("billing.verification.BROKEN_MAX", 2)
    surgeon.execute(
        "UPDATE ledger_entry SET amount = 1000000000000000001"
        " WHERE id IN (SELECT id FROM ledger_entry ORDER BY id LIMIT 5)"
    )
    assert found(surgeon, None)["I22"] == 2


def test_verify_is_clean_after_work_and_keeps_its_run(worked):
    results = list(verify())
    assert [r for r in results if r.broken and r.number != "I8"] == []
    assert {r.number for r in results} == NUMBERS
    assert Verification.objects.latest("id").results[0][0] == "I1"


def test_the_command_fails_when_something_is_broken(worked, owner):
    charge = worked["charge"]
    owner.execute(
        "UPDATE billing_charge SET charged = charged + 1 WHERE transaction_id = %s", [charge]
    )
    out = io.StringIO()
    with pytest.raises(CommandError, match="I23"):
        call_command("ledger_verify", stdout=out)
    assert "BROKEN" in out.getvalue()
    owner.execute(
        "UPDATE billing_charge SET charged = charged - 1 WHERE transaction_id = %s", [charge]
    )
