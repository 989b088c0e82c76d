"""A wallet's history says what each movement was for, page by page."""

from billing import movements
from billing.history import history
from billing.movements import Reason
from config.kit import ids
from paywalls.models import EndUser, Paywall
from tests.billing.conftest import ask, bill, deposit


async def chat(gate, payer, charge, **more):
    asked = ask(payer, 100)
    await gate.reserve(asked)
    await gate.settle(bill(asked, charge, **more))
    return asked.request_id


async def test_a_line_says_what_it_was_for(gate, reads, payer):
    await deposit(gate, payer, 1_000)
    request = await chat(gate, payer, 7, model="demo/echo-1", run="book", feature="summary")
    page = await reads.history(payer)
    charge, credit = page.items
    assert page.next is None
    assert (charge.kind, charge.amount_nanos, charge.balance_after_nanos) == ("charge", -7, 993)
    assert (charge.model, charge.run, charge.feature) == ("demo/echo-1", "book", "summary")
    assert charge.request_id == request
    assert (credit.kind, credit.amount_nanos, credit.request_id) == ("deposit", 1_000, None)
    assert (credit.model, credit.run, credit.feature) == ("", "", "")


async def test_pages_meet_without_a_gap_and_the_last_one_says_so(gate, reads, payer):
    for amount in range(1, 6):
        await deposit(gate, payer, amount)
    seen, before = [], None
    while True:
        page = await reads.history(payer, before=before, rows=2)
        seen += [line.amount_nanos for line in page.items]
        before = page.next
        if before is None:
            break
    assert seen == [5, 4, 3, 2, 1]


async def test_who_was_never_seen_has_no_history(reads, payer):
    page = await reads.history(payer)
    assert (page.items, page.next) == ((), None)


def test_without_the_api_it_reads_the_same(payer):
    paywall = Paywall.objects.get(id=payer.paywall_id)
    movements.deposit(paywall, "u", 5, Reason(actor="dev_1", reason="because"))
    wallet = EndUser.objects.get(paywall=paywall).wallet_id
    assert [line.amount_nanos for line in history(wallet).items] == [5]
    assert history(ids.uuid7()).items == ()
