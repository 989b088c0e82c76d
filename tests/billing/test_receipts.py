"""A receipt's items are the price engine's way to the charge: they add up to it exactly."""

from decimal import Decimal, localcontext
from uuid import UUID

from asgiref.sync import sync_to_async
from hypothesis import given
from hypothesis import strategies as st

from billing import movements, receipts
from billing.movements import Reason
from billing.receipts import SCALE, items_of
from config.kit import ids
from config.kit.money import NANOS, format_nanos
from paywalls.models import Paywall, PriceVersion
from paywalls.pricing import Rates, Usage, price_nanos
from paywalls.rules import rate_id
from tests.billing.conftest import ask, bill, deposit
from tests.factories import PaywallFactory, PriceVersionFactory
from tests.paywalls.test_pricing import rates, token_usages

WHY = Reason(actor="tests", reason="because")


def summed(items) -> Decimal:
    with localcontext(prec=60):
        return sum((Decimal(item.amount) for item in items), Decimal(0))


@given(token_usages(), rates(), st.integers(1, 10**18))
def test_the_items_of_any_charge_add_up_to_it(usage: Usage, selling: Rates, held: int):
    price = price_nanos(usage, selling)
    charged = min(price, held)
    items = items_of(usage, selling, charged)
    named = {item.name: item for item in items}
    assert sum(item.scaled for item in items) == charged * SCALE
    assert summed(items) == Decimal(format_nanos(charged))
    assert len(named) == len(items)
    assert 0 <= getattr(named.get("rounding"), "scaled", 0) < SCALE
    assert getattr(named.get("minimum"), "scaled", 0) >= 0
    assert ("not_covered" in named) is (price > held)


@given(token_usages(), rates())
def test_a_class_costs_its_count_times_its_rate(usage: Usage, selling: Rates):
    items = items_of(usage, selling, price_nanos(usage, selling))
    for item in items:
        if item.count is None or item.rate is None or item.per is None:
            continue
        assert item.scaled * item.per == item.count * item.rate * SCALE


def test_a_known_charge():
    selling = Rates(prompt=NANOS, cached=0, completion=3, request=5, minimum=20, markup_bps=2_000)
    items = items_of(Usage(prompt=3, cached=2, completion=1), selling, 1_205)
    assert [(item.name, item.amount) for item in items] == [
        ("prompt", "0.000001"),
        ("cached", "0"),
        ("completion", "0.000000000000003"),
        ("markup", "0.0000002000000006"),
        ("rounding", "0.0000000009999964"),
        ("request", "0.000000005"),
        ("not_covered", "-0.000000001"),
    ]


async def test_a_chats_receipt_has_its_price_its_balances_and_its_refunds(gate, reads, payer):
    await deposit(gate, payer, 10_000)
    selling = Rates(prompt=NANOS, completion=2 * NANOS, markup_bps=1_000)
    usage = Usage(prompt=2, completion=1)
    version, rate = await _rate(payer.paywall_id, selling)
    asked = ask(payer, 5_000)
    await gate.reserve(asked)
    price = price_nanos(usage, selling)
    await gate.settle(bill(asked, price, usage=usage.as_dict(), rate_id=rate, policy="x:usage"))
    line = (await reads.history(payer)).items[0]
    back = await sync_to_async(lambda: movements.refund(line.transaction_id, 400, WHY))()
    receipt = await sync_to_async(lambda: receipts.find(line.transaction_id))()
    assert (receipt.total_nanos, receipt.amount_nanos) == (4_400, -4_400)
    assert (receipt.balance_before_nanos, receipt.balance_after_nanos) == (10_000, 5_600)
    assert summed(receipt.items) == Decimal("0.0000044")
    assert (receipt.version_id, receipt.policy) == (version, "x:usage")
    assert receipt.request_id == asked.request_id
    assert [(each.transaction_id, each.amount_nanos) for each in receipt.refunds] == [
        (back.transaction_id, 400)
    ]
    other = await sync_to_async(lambda: receipts.find(back.transaction_id))()
    assert (other.of, other.amount_nanos) == (line.transaction_id, 400)


async def _rate(paywall_id: UUID, selling: Rates) -> tuple[UUID, UUID]:
    def work() -> tuple[UUID, UUID]:
        paywall = Paywall.objects.get(pk=paywall_id)
        version: PriceVersion = PriceVersionFactory.create(paywall=paywall)
        return version.pk, rate_id(version.pk, "demo/echo", "", selling, None)

    return await sync_to_async(work)()


def test_every_movement_has_a_receipt_of_one_item():
    paywall = PaywallFactory.create()
    booked = [
        movements.deposit(paywall, "u", 50, WHY),
        movements.bonus(paywall, "u", 5, WHY),
        movements.topup(paywall, "u", 7, WHY, livemode=True),
        movements.charge(paywall, "u", 3, WHY),
        movements.adjust(paywall, "u", -2, WHY),
    ]
    found = [receipts.find(movement.transaction_id) for movement in booked]
    assert [(each.kind, each.amount_nanos) for each in found if each] == [
        ("deposit", 50),
        ("bonus", 5),
        ("topup", 7),
        ("charge", -3),
        ("adjustment", -2),
    ]
    for each in found:
        assert each
        (item,) = each.items
        assert item.scaled == each.total_nanos * SCALE
        assert each.request_id is None


def test_what_is_no_movement_has_no_receipt():
    assert receipts.find(ids.uuid7()) is None
