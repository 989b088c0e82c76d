"""Every invariant is clean after real work and finds the damage it is there for."""

import io
import os
from collections.abc import Iterator

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from billing import movements
from billing.invariants import BILLING, verify
from billing.movements import Reason
from ledger.invariants import LEDGER
from ledger.models import Verification
from paywalls.models import EndUser, Paywall, PriceVersion, Rate

WHY = Reason(actor="dev_1", reason="because")
QUERIES = {invariant.number: invariant.query for invariant in (*LEDGER, *BILLING)}

DAMAGE = {
    "I1": "INSERT INTO ledger_transaction (id, kind, scope, ref, actor, occurred_at, created_at)"
    " VALUES (gen_random_uuid(), 'bonus', 'x', 'x', '', now(), now())",
    "I2": "UPDATE ledger_entry SET amount = amount + 1 WHERE id = (SELECT min(id) FROM mine)",
    "I3": "UPDATE ledger_account SET posted = posted + 1 WHERE id = %(wallet)s",
    "I4": "UPDATE ledger_account SET held = held + 1 WHERE id = %(wallet)s",
    "I5": "UPDATE ledger_lot SET remaining = 9999, amount = 9999 WHERE account_id = %(wallet)s",
    "I6": "DELETE FROM ledger_entry WHERE id = (SELECT min(id) FROM mine)",
    "I7": "UPDATE ledger_hold SET settled = settled - 1 WHERE account_id = %(wallet)s",
    "I8": "WITH spared AS (UPDATE ledger_sweep SET grace_until = NULL)"
    " UPDATE ledger_hold SET state = 0, lease_until = now() - interval '1 h',"
    " resolved_at = NULL, settled = NULL WHERE account_id = %(wallet)s",
    "I9": "UPDATE ledger_hold SET resolved_at = created_at - interval '1 s'"
    " WHERE account_id = %(wallet)s",
    "I10": "DELETE FROM billing_charge WHERE paywall_id = %(paywall)s",
    "I11": "UPDATE billing_daily SET charged = charged + 1 WHERE paywall_id = %(paywall)s",
    "I12": "UPDATE ledger_entry SET amount = 100000 WHERE transaction_id IN"
    " (SELECT id FROM ledger_transaction WHERE reverses_id IS NOT NULL)"
    " AND account_id = %(wallet)s",
    "I14": "UPDATE ledger_account SET owed = owed + 1 WHERE id = %(wallet)s",
    "I15": "UPDATE ledger_account SET currency = 'EUR' WHERE id = %(wallet)s",
    "I16": "UPDATE billing_charge SET paywall_id = gen_random_uuid()"
    " WHERE paywall_id = %(paywall)s",
    "I17": "INSERT INTO billing_idempotency VALUES"
    " (%(paywall)s, true, 'k', 'f', gen_random_uuid(), now())",
    "I18": "ALTER TABLE ledger_entry DISABLE TRIGGER entry_kept",
    "I20": "UPDATE ledger_lot SET expires_at = now() - interval '2 h'"
    " WHERE account_id = %(wallet)s",
    "I22": "UPDATE ledger_entry SET amount = 2000000000000000000"
    " WHERE id = (SELECT min(id) FROM mine)",
}


@pytest.fixture
def worked(payer) -> dict[str, object]:
    """A paywall on which every kind of movement happened."""
    paywall = Paywall.objects.get(id=payer.paywall_id)
    movements.deposit(paywall, "u", 1_000, WHY)
    movements.bonus(paywall, "u", 50, WHY)
    charged = movements.charge(paywall, "u", 30, WHY).transaction_id
    movements.refund(charged, 10, WHY)
    movements.adjust(paywall, "u", -5, WHY)
    wallet = EndUser.objects.get(paywall=paywall).wallet_id
    return {"paywall": paywall.id, "wallet": wallet, "charge": charged}


@pytest.fixture
def surgeon() -> Iterator[psycopg.Connection]:
    """A superuser's connection past triggers and checks, rolled back at the end."""
    url = os.environ["TEST_ADMIN_URL"].rsplit("/", 1)[0] + f"/{connection.settings_dict['NAME']}"
    with psycopg.connect(url) as opened:
        opened.execute("SET LOCAL session_replication_role = replica")
        for table in ("account", "entry", "hold", "lot"):
            for (check,) in opened.execute(
                "SELECT conname FROM pg_constraint WHERE contype = 'c' AND conrelid = %s::regclass",
                [f"ledger_{table}"],
            ).fetchall():
                opened.execute(f"ALTER TABLE ledger_{table} DROP CONSTRAINT {check}")
        yield opened
        opened.rollback()


def broken(surgeon: psycopg.Connection, number: str) -> int:
    return len(surgeon.execute(QUERIES[number]).fetchall())


@pytest.mark.parametrize("number", sorted(QUERIES))
def test_each_invariant_finds_its_damage(number, worked, surgeon):
    surgeon.execute(
        "CREATE TEMP VIEW mine AS SELECT id FROM ledger_entry WHERE account_id = '"
        f"{worked['wallet']}'"
    )
    before = broken(surgeon, number)
    surgeon.execute(DAMAGE[number], worked)
    assert broken(surgeon, number) > before


def test_i19_finds_a_charge_that_does_not_recompute(worked, owner):
    paywall = Paywall.objects.get(id=worked["paywall"])
    version = PriceVersion.objects.create(paywall=paywall, number=99, actor="t")
    rate = Rate.objects.create(
        version=version, model="m", digest=b"d", selling={"request": 29}, cost=None
    )
    owner.execute(
        "UPDATE billing_charge SET rate_id = %s, usage = '{}' WHERE transaction_id = %s",
        [rate.id, worked["charge"]],
    )
    assert [r.broken for r in verify() if r.number == "I19"] == [1]
    owner.execute(
        "UPDATE billing_charge SET rate_id = NULL, usage = NULL WHERE transaction_id = %s",
        [worked["charge"]],
    )


def test_verify_is_clean_after_work_and_keeps_its_run(worked):
    results = list(verify())
    assert [r for r in results if r.broken and r.number != "I8"] == []
    assert {r.number for r in results} >= set(QUERIES) | {"I19"}
    assert Verification.objects.latest("id").results[0][0] == "I1"


def test_the_command_fails_when_something_is_broken(worked, owner):
    charge = worked["charge"]
    owner.execute(
        "UPDATE billing_charge SET charged = charged + 1 WHERE transaction_id = %s", [charge]
    )
    out = io.StringIO()
    with pytest.raises(CommandError, match="I11"):
        call_command("ledger_verify", stdout=out)
    assert "BROKEN" in out.getvalue()
    owner.execute(
        "UPDATE billing_charge SET charged = charged - 1 WHERE transaction_id = %s", [charge]
    )
