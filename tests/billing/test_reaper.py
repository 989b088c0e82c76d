"""What a lost process leaves behind."""

from uuid import UUID

from billing.types import Progress
from tests.billing.conftest import ask, bill, deposit


class TestReaper:
    async def test_a_lost_process_is_billed_from_its_checkpoint(self, gate, payer, reads, owner):
        await deposit(gate, payer, 1_000)
        streaming, silent = ask(payer, 300), ask(payer, 200)
        await gate.reserve(streaming)
        await gate.reserve(silent)
        progress = Progress(
            charge_nanos=120, provider_cost_nanos=60, delivered=True, usage={"prompt": 3}
        )
        gate.track(streaming.request_id, lambda: progress)
        await gate.renew()
        reaped = lapse_and_reap(owner, streaming.request_id, silent.request_id)
        assert reaped == {streaming.request_id, silent.request_id}
        assert await reads.balance(payer) == 880
        view = await reads.request(payer.paywall_id, streaming.request_id, livemode=True)
        assert view is not None
        assert (view.status, view.policy, view.charged_nanos) == (
            "recovered",
            "recovered_partial",
            120,
        )
        late = await gate.settle(bill(streaming, 250))
        assert late.late
        assert await reads.balance(payer) == 880

    async def test_a_hold_whose_lease_is_renewed_is_left_alone(self, gate, payer, owner):
        await deposit(gate, payer, 1_000)
        asked = ask(payer, 300)
        await gate.reserve(asked)
        owner.execute(
            "UPDATE ledger_hold SET lease_until = now() - interval '1 s' WHERE id = %s",
            [asked.request_id],
        )
        await gate.renew()
        assert asked.request_id not in reap(owner)

    async def test_after_an_outage_everything_is_spared_for_one_lease(self, gate, payer, owner):
        await deposit(gate, payer, 1_000)
        asked = ask(payer, 300)
        await gate.reserve(asked)
        reap(owner)
        owner.execute("UPDATE ledger_sweep SET last_at = now() - interval '1 hour' WHERE id = 1")
        owner.execute(
            "UPDATE ledger_hold SET lease_until = now() - interval '1 s' WHERE id = %s",
            [asked.request_id],
        )
        assert owner.execute("SELECT billing_reap(30, 1000)").fetchall() == []


def reap(owner) -> set[UUID]:
    owner.execute(
        "INSERT INTO ledger_sweep (id, rolled_upto, last_at) VALUES (1, 0, now())"
        " ON CONFLICT (id) DO UPDATE SET last_at = now(), grace_until = NULL"
    )
    return {row[0] for row in owner.execute("SELECT billing_reap(0, 1000)").fetchall()}


def lapse_and_reap(owner, *holds: UUID) -> set[UUID]:
    owner.execute(
        "UPDATE ledger_hold SET lease_until = now() - interval '1 s' WHERE id = ANY(%s)",
        [list(holds)],
    )
    return reap(owner) & set(holds)
